"""The chance of return: at its edges, against a simulation, and in SQL."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import psycopg
import pytest
from jinja2 import Environment

from lifecycle.health.return_chance import Floats, Lifetimes, ln_survival, p_alive, p_return

CHECKOUT = Path(__file__).resolve().parents[2]
USUAL = Lifetimes(r=0.5, alpha=6.0, a=0.9, b=1.6)


def test_the_formulas_by_hand() -> None:
    # Two repeats, the last after 4 weeks, 10 weeks old: S = (10/16)^2.5.
    survival = (10 / 16) ** 2.5
    alive = 1 / (1 + 0.9 / (1.6 + 2) / survival)
    returns = alive * (1 - (16 / 20) ** 2.5)
    assert np.exp(ln_survival(USUAL, 2, 4, 10)) == pytest.approx(survival, rel=1e-12)
    assert p_alive(USUAL, 2, 4, 10) == pytest.approx(alive, rel=1e-12)
    assert p_return(USUAL, 2, 4, 10, within=4) == pytest.approx(returns, rel=1e-12)


def test_an_account_that_was_never_active_again_may_have_left() -> None:
    assert p_alive(USUAL, 0, 0, 0) == pytest.approx(1.6 / 2.5)
    assert p_alive(USUAL, 0, 0, 20) < p_alive(USUAL, 0, 0, 5) < p_alive(USUAL, 0, 0, 0)


def test_silence_speaks_louder_of_an_account_with_a_fast_rhythm() -> None:
    slow, fast = p_alive(USUAL, [2, 50], [100, 100], [120, 120])
    assert fast < slow
    on_time_slow, on_time_fast = p_alive(USUAL, [2, 50], [120, 120], [120, 120])
    assert on_time_fast > on_time_slow


def test_the_chance_is_what_happens_to_simulated_accounts() -> None:
    """Batislam's story told by dice: the chance of those with one record is their share."""
    random = np.random.default_rng(7)
    accounts, age, within = 400_000, 10.0, 5.0
    rate = random.gamma(USUAL.r, 1 / USUAL.alpha, accounts)
    leaves = random.beta(USUAL.a, USUAL.b, accounts)
    now, alive = np.zeros(accounts), random.random(accounts) >= leaves
    repeats, last, returned = np.zeros(accounts, int), np.zeros(accounts), np.zeros(accounts, bool)
    while alive.any():
        now = now + random.exponential(1 / rate)
        before, soon = alive & (now <= age), alive & (now > age) & (now <= age + within)
        repeats, last = repeats + before, np.where(before, now, last)
        returned |= soon
        alive = before & (random.random(accounts) >= leaves)
    for record in (repeats == 0, (repeats == 1) & (last < 4), (repeats == 3) & (last > 7)):
        expected = p_return(USUAL, repeats[record], last[record], age, within).mean()
        error = np.sqrt(expected * (1 - expected) / record.sum())
        assert record.sum() > 1_000
        assert returned[record].mean() == pytest.approx(expected, abs=4 * error)


@pytest.mark.parametrize("engine", ["duckdb", "postgresql"])
def test_sql_agrees_with_python_over_ten_thousand_accounts(
    engine: str, request: pytest.FixtureRequest
) -> None:
    accounts = _accounts(10_000)
    repeats, last, age, within, r, alpha, a, b = accounts.T
    # One element of the parameters an account: the formulas do not mind.
    common = Lifetimes(r, alpha, a, b)  # type: ignore[arg-type]
    if engine == "duckdb":
        result = _in_duckdb(accounts)
    else:  # which refuses what overflows, where DuckDB goes on with infinity
        result = _in_postgresql(accounts, request.getfixturevalue("postgres"))
    for in_sql, expected in zip(
        result[:2],
        (p_return(common, repeats, last, age, within), p_alive(common, repeats, last, age)),
        strict=True,
    ):
        assert np.isfinite(expected).all()
        assert ((expected >= 0) & (expected <= 1)).all()
        np.testing.assert_allclose(in_sql, expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        result[2], ln_survival(common, repeats, last, age), rtol=1e-12, atol=1e-9
    )


def _accounts(number: int) -> Floats:
    """Random ones, and among them every edge with every other one."""
    random = np.random.default_rng(3)
    age = random.integers(0, 3_651, number).astype(float)
    last = np.floor(age * random.random(number))
    repeats = np.floor(np.exp(random.uniform(0, np.log(5_001), number))) - 1
    within = random.choice([1, 28, 90, 365], number)
    parameters = np.exp(random.uniform(-7, 9, (number, 4)))
    edges = [
        (x, t, whole, horizon)
        for x in (0, 1, 5_000)
        for whole in (0, 1, 3_650)
        for t in (0, whole)
        for horizon in (1, 28, 365)
    ]
    repeats[: len(edges)], last[: len(edges)], age[: len(edges)], within[: len(edges)] = zip(
        *edges, strict=True
    )
    return np.column_stack([repeats, last, age, within, parameters])


COLUMNS = (
    "repeats bigint, last_active bigint, age bigint, within_days bigint, "
    "r double precision, alpha double precision, a double precision, b double precision"
)


def _query() -> str:
    macros = (CHECKOUT / "dbt_project" / "macros" / "return_chance.sql").read_text("utf-8")
    query = """
        select
          {{ p_return('repeats', 'last_active', 'age', 'within_days', 'r', 'alpha', 'a', 'b') }},
          {{ p_alive('repeats', 'last_active', 'age', 'r', 'alpha', 'a', 'b') }},
          {{ ln_survival('repeats', 'last_active', 'age', 'r', 'alpha') }}
        from accounts order by place
    """
    return Environment().from_string(macros + query).render()


def _in_duckdb(accounts: Floats) -> Floats:
    with duckdb.connect() as warehouse:
        warehouse.execute(f"create table accounts (place bigint, {COLUMNS})")
        table = np.column_stack([np.arange(len(accounts)), accounts])
        loaded = {f"c{number}": values for number, values in enumerate(table.T)}
        warehouse.execute("insert into accounts select * from loaded")
        del loaded
        return np.array(warehouse.execute(_query()).fetchall()).T


def _in_postgresql(accounts: Floats, url: str) -> Floats:
    with psycopg.connect(url) as warehouse, warehouse.cursor() as cursor:
        cursor.execute(f"create temporary table accounts (place bigint, {COLUMNS})")
        with cursor.copy("copy accounts from stdin") as copy:
            for place, (*counts, r, alpha, a, b) in enumerate(accounts.tolist()):
                copy.write_row([place, *(int(count) for count in counts), r, alpha, a, b])
        cursor.execute(_query())
        return np.array(cursor.fetchall(), np.float64).T
