"""Points from evidence: a bin by hand, monotone, bounded, the same in SQL."""

from __future__ import annotations

from dataclasses import asdict
from math import inf, log

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from lifecycle.errors import FitError
from lifecycle.health.return_chance import Floats
from lifecycle.health.scorecard import POINTS, Scorecard, fit, weight_of_evidence

Measures = dict[str, Floats]


@pytest.fixture(scope="module")
def company() -> tuple[Measures, Floats]:
    """5,000 accounts: two measures that tell, one that does not, one that misleads."""
    random = np.random.default_rng(8)
    silent, seats, noise = random.random((3, 5_000))
    churned = random.random(5_000) < 1 / (1 + np.exp(-(-3 + 3 * silent - 2 * seats)))
    seats[::50] = np.nan
    measures = {"silent": silent, "seats": seats, "noise": noise, "copy": np.round(silent, 1)}
    return measures, churned


@pytest.fixture(scope="module")
def fitted(company: tuple[Measures, Floats]) -> Scorecard:
    return fit(*company)


def test_a_bin_by_hand() -> None:
    # 30 of 100 left where 10 % leave: ((30 + 2) / (70 + 18)) / (1 / 9)
    assert weight_of_evidence(30, 70, 0.1) == pytest.approx(log(32 / 88 * 9))
    assert weight_of_evidence(10, 90, 0.1) == pytest.approx(0)
    assert weight_of_evidence(0, 0, 0.1) == pytest.approx(0)
    assert (
        -inf
        < weight_of_evidence(0, 1_000_000, 0.001)
        < 0
        < weight_of_evidence(1_000_000, 0, 0.5)
        < inf
    )


def test_five_bins_a_measure_and_one_for_the_unknown(fitted: Scorecard) -> None:
    for measure in ("silent", "seats"):
        bins = [score_bin for score_bin in fitted.bins if score_bin.measure == measure]
        assert [score_bin.above for score_bin in bins[1:-1]] == [
            score_bin.up_to for score_bin in bins[:-2]
        ]
        assert (bins[0].above, bins[-2].up_to, len(bins)) == (-inf, inf, 6)
        assert (bins[-1].above, bins[-1].up_to) == (None, None)
        accounts = [score_bin.churned + score_bin.stayed for score_bin in bins]
        assert sum(accounts) == 5_000
        assert max(accounts[:5]) - min(accounts[:5]) <= 5
    assert next(
        score_bin
        for score_bin in fitted.bins
        if score_bin.measure == "seats" and score_bin.above is None
    ).stayed


def test_a_measure_with_few_values_has_few_bins() -> None:
    churned = np.arange(1_000) % 5 == 0
    outcomes = np.where(np.arange(1_000) < 700, 0.0, 3.0)
    nothing = np.full(1_000, np.nan)
    bins = fit({"outcomes": outcomes, "nothing": nothing}, churned).bins
    assert [(score_bin.measure, score_bin.above, score_bin.up_to) for score_bin in bins] == [
        ("outcomes", -inf, 0),
        ("outcomes", 0, inf),
        ("outcomes", None, None),
        ("nothing", -inf, inf),
        ("nothing", None, None),
    ]


def test_more_of_what_goes_before_leaving_is_a_lower_score(fitted: Scorecard) -> None:
    bins = [score_bin for score_bin in fitted.bins if score_bin.measure == "silent"][:5]
    assert [score_bin.weight_of_evidence for score_bin in bins] == sorted(
        score_bin.weight_of_evidence for score_bin in bins
    )
    assert [score_bin.points for score_bin in bins] == sorted(
        (score_bin.points for score_bin in bins), reverse=True
    )
    others = {"seats": np.full(50, 0.5), "noise": np.full(50, 0.5), "copy": np.full(50, 0.5)}
    score = fitted.score({"silent": np.linspace(0, 1, 50), **others})
    assert (np.diff(score) <= 0).all()
    assert score[0] > score[-1] + 20


def test_weights_are_never_negative(fitted: Scorecard) -> None:
    assert min(fitted.weights.values()) >= 0
    assert fitted.weights["silent"] + fitted.weights["copy"] > 0.7
    assert (
        np.ptp([score_bin.points for score_bin in fitted.bins if score_bin.measure == "noise"]) < 12
    )
    # A measure that counts against itself once the other is known gets no weight at all.
    random = np.random.default_rng(9)
    cause = random.normal(size=4_000)
    shadow = cause + random.normal(size=4_000) / 2
    churned = random.random(4_000) < 1 / (1 + np.exp(2 - 2 * cause + 0.7 * shadow))
    assert fit({"cause": cause, "shadow": shadow}, churned).weights["shadow"] == 0
    assert fit({"shadow": shadow}, churned).weights["shadow"] > 0.5


def test_twenty_points_double_the_odds(fitted: Scorecard, company: tuple[Measures, Floats]) -> None:
    measures, churned = company
    score, chance = fitted.score(measures), fitted.p_churn(measures)
    inside = (score > 0) & (score < 100)
    doublings = np.log2(chance / (1 - chance))[inside] + score[inside] / 20
    assert np.ptp(doublings) == pytest.approx(0, abs=1e-9)
    assert np.median(score) == pytest.approx(50)
    assert score.min() >= 0
    assert score.max() <= 100
    assert chance.mean() == pytest.approx(churned.mean(), rel=0.01)
    assert pytest.approx(28.85, abs=0.005) == POINTS


def test_a_measure_that_tells_all_stays_finite() -> None:
    churned = np.arange(1_000) < 200
    answer = fit({"left": churned.astype(float)}, churned)
    assert np.isfinite([score_bin.points for score_bin in answer.bins]).all()
    assert np.isfinite(list(answer.weights.values())).all()
    safe = answer.score({"left": np.array([0.0, 1.0])})
    assert safe[0] == pytest.approx(50)
    assert safe[1] == 0


def test_the_same_accounts_in_another_order_are_the_same_score(
    fitted: Scorecard, company: tuple[Measures, Floats]
) -> None:
    measures, churned = company
    order = np.random.default_rng(1).permutation(5_000)
    again = fit({name: values[order] for name, values in measures.items()}, churned[order])
    assert [score_bin.up_to for score_bin in again.bins] == [
        score_bin.up_to for score_bin in fitted.bins
    ]
    points = [[score_bin.points for score_bin in each.bins] for each in (again, fitted)]
    np.testing.assert_allclose(*points, atol=1e-3)


def test_sql_applies_the_table_by_a_join(
    fitted: Scorecard, company: tuple[Measures, Floats]
) -> None:
    measures, _ = company
    bins = pa.Table.from_pylist([asdict(score_bin) for score_bin in fitted.bins])
    values = pa.table(
        {
            "account": np.tile(np.arange(5_000), len(measures)),
            "measure": np.repeat(list(measures), 5_000),
            "value": pa.array(np.concatenate(list(measures.values())), from_pandas=True),
        }
    )
    with duckdb.connect() as warehouse:
        warehouse.register("bins", bins)
        warehouse.register("vals", values)
        result = warehouse.execute(
            """
            select greatest(0, least(100, ? + sum(bins.points))) as score
            from vals
            inner join bins
              on vals.measure = bins.measure
              and (
                (vals.value > bins.above and vals.value <= bins.up_to)
                or (vals.value is null and bins.above is null)
              )
            group by account order by account
            """,
            [fitted.base_points],
        ).fetchnumpy()["score"]
    np.testing.assert_allclose(result, fitted.score(measures), atol=1e-9)


def test_too_few_who_left_teach_nothing() -> None:
    with pytest.raises(FitError, match="99 accounts left or stayed; 100 of each are needed"):
        fit({"silent": np.arange(1_000.0)}, np.arange(1_000) < 99)
    with pytest.raises(FitError, match="not one an account each"):
        fit({"silent": np.arange(10.0)}, np.arange(1_000) < 500)
