"""Fitting the chance of return: published figures, order, edges."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from lifecycle.errors import FitError
from lifecycle.health.return_chance import Floats, Lifetimes
from lifecycle.health.return_fit import Model, fit, ln_likelihood, sample


@pytest.fixture(scope="module")
def cdnow() -> list[Floats]:
    """Repeats, last and age in weeks of the 2,357 customers, in 39 weeks of calibration."""
    file = distribution("lifetimes").locate_file("lifetimes/datasets/cdnow_customers_summary.csv")
    customers = np.loadtxt(Path(str(file)), delimiter=",", skiprows=1)
    assert len(customers) == 2_357
    return list(customers[:, 1:].T)


@pytest.mark.parametrize(
    ("model", "published", "likelihood"),
    [
        ("bg", Lifetimes(0.243, 4.414, 0.793, 2.426), -9582.4),
        ("mbg", Lifetimes(0.525, 6.183, 0.891, 1.614), None),
    ],
)
def test_the_fit_is_the_published_one(
    cdnow: list[Floats], model: Model, published: Lifetimes, likelihood: float | None
) -> None:
    fitted, ln_of_all = fit(*cdnow, model=model)
    rounded = Lifetimes(*(round(value, 3) for value in vars(fitted).values()))
    assert rounded == published
    if likelihood is not None:
        assert round(ln_of_all, 1) == likelihood
    assert ln_of_all == pytest.approx(ln_likelihood(fitted, *cdnow, model=model), abs=1e-6)


def test_likelihoods_by_hand() -> None:
    """BG/NBD and MBG/NBD of one account without a repeat, from their definitions."""
    common = Lifetimes(r=2.0, alpha=3.0, a=1.0, b=4.0)
    silent = (3 / 8) ** 2  # still alive after 5: (alpha / (alpha + age)) ^ r
    stays = 4 / 5  # b / (a + b)
    assert ln_likelihood(common, [0, 1], [0, 2], [5, 5], model="bg") == pytest.approx(
        np.log(silent)
        # stayed, or left at its repeat: rate * e^..., integrated over gamma(2, 3) and beta(1, 4)
        + np.log(2 * 9 * (stays / 8**3 + (1 - stays) / 5**3))
    )
    assert ln_likelihood(common, [0], [0], [5], model="mbg") == pytest.approx(
        np.log(stays * silent + (1 - stays))
    )


def test_the_fit_does_not_depend_on_the_unit_of_time(cdnow: list[Floats]) -> None:
    weeks, _ = fit(*cdnow)
    days, _ = fit(cdnow[0], cdnow[1] * 7, cdnow[2] * 7)
    assert days.alpha == pytest.approx(weeks.alpha * 7, rel=1e-4)
    assert days.r == pytest.approx(weeks.r, rel=1e-4)


def test_the_sample_is_the_same_in_any_order_and_keeps_whom_it_has() -> None:
    ids = [f"account-{number}" for number in range(1_000)]
    chosen = [ids[place] for place in sample(ids, 100)]
    backwards = ids[::-1]
    assert [backwards[place] for place in sample(backwards, 100)] == chosen
    assert chosen != ids[:100]
    grown = [*ids, *(f"new-{number}" for number in range(1_000))]
    kept = {grown[place] for place in sample(grown, 100)} & set(ids)
    assert kept < set(chosen)
    assert len(sample(ids)) == len(ids)


def test_where_nobody_leaves_the_chance_to_leave_goes_to_its_bound() -> None:
    random = np.random.default_rng(1)
    rate = random.gamma(2, 1 / 10, 2_000)
    age = np.full(2_000, 365.0)
    repeats = random.poisson(rate * age)
    last = np.where(repeats > 0, age * random.random(2_000) ** (1 / np.maximum(repeats, 1)), 0)
    fitted, _ = fit(repeats, last, age)
    assert fitted.a / (fitted.a + fitted.b) < 0.01
    assert fitted.r == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize(
    ("repeats", "last", "age"),
    [
        ([0, 0], [0, 0], [5, 9]),
        ([1, 2], [3, 9], [5, 8]),
        ([1, -1], [3, 0], [5, 8]),
        ([1], [3], [float("nan")]),
        ([1, 2], [3], [5]),
    ],
)
def test_data_that_cannot_be_fitted_is_refused(
    repeats: list[float], last: list[float], age: list[float]
) -> None:
    with pytest.raises(FitError, match="the chance of return: "):
        fit(repeats, last, age)


@pytest.mark.parametrize("model", ["bg", "mbg"])
def test_the_found_point_is_flat(cdnow: list[Floats], model: Model) -> None:
    """Slopes by small steps of the likelihood itself, not by the fit's own formulas."""
    fitted, _ = fit(*cdnow, model=model)

    def mean(ln_parameters: Floats) -> float:
        common = Lifetimes(*(float(value) for value in np.exp(ln_parameters)))
        return ln_likelihood(common, *cdnow, model=model) / 2_357

    slopes = approx_fprime(np.log(list(vars(fitted).values())), mean, 1e-6)
    assert np.abs(slopes).max() < 1e-5
