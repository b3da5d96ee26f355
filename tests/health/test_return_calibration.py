"""The chance of return, corrected by the company's own past silences."""

from __future__ import annotations

import numpy as np
import pytest

from lifecycle.health import return_calibration
from lifecycle.health.return_chance import Lifetimes

COMMON = Lifetimes(0.8, 6.0, 0.5, 3.0)
HOLIDAY = range(330, 344)


def lives() -> tuple[np.ndarray, np.ndarray]:
    """Accounts of a year that come about every four days, some of which stop; nobody comes over the
    holiday."""
    dice = np.random.default_rng(5)
    account, day = [], []
    for number in range(600):
        stops = dice.integers(60, 900)
        for moment in np.flatnonzero(dice.random(400) < dice.uniform(0.1, 0.5)):
            if moment < stops and moment not in HOLIDAY:
                account.append(number)
                day.append(moment)
    number = np.unique(account, return_inverse=True)[1]
    return number.astype(np.int64), np.array(day, np.int64)


def company(day: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    days, active = np.unique(day, return_counts=True)
    return days.astype(np.int64), active.astype(np.float64)


def test_a_day_of_silence_counts_as_often_as_the_company_was_active_on_it() -> None:
    _, day = lives()
    days, active = company(day)
    counted = return_calibration.counted_days(days, active)
    until = dict(zip(days.tolist(), counted.tolist(), strict=True))
    assert until[329] - until[301] == pytest.approx(28, abs=1.5)
    # The fifteen days from before the holiday to after it are hardly more than the one day.
    assert until[344] - until[329] < 2


def test_past_silences_teach_a_chance_that_comes_true() -> None:
    account, day = lives()
    learned = return_calibration.fit(account, day, company(day), COMMON, 399)
    assert learned is not None
    assert learned.auc >= learned.silence_auc
    assert learned.calibration_error < 0.03
    assert set(learned.weights) == {"constant", *return_calibration.TERMS}


def test_too_few_silences_teach_nothing() -> None:
    account, day = lives()
    few = account < 20
    assert return_calibration.fit(account[few], day[few], company(day), COMMON, 399) is None
    young = day < 50
    assert (
        return_calibration.fit(account[young], day[young], company(day[young]), COMMON, 50) is None
    )
