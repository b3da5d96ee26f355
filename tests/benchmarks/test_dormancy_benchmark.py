"""The dormancy benchmark on its real data: what it says, and what it needs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(sys, "argv", ["dormancy.py", "--resamples", "40", "--json"])


@pytest.mark.usefixtures("benchmark")
def test_households_of_the_complete_journey(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import dormancy

    first = [(*each, (30,)) for *each, _ in dormancy.SETS if each[0] == "complete journey"]
    monkeypatch.setattr(dormancy, "SETS", first)
    with pytest.raises(SystemExit) as ended:
        dormancy.main()
    assert ended.value.code == 0
    answer = json.loads(capsys.readouterr().out)

    (ranking,) = answer["rankings"]
    assert ranking["p_return"]["value"] == pytest.approx(0.876, abs=5e-4)
    assert ranking["p_return_over_days"]["low"] > 0
    assert ranking["p_return_over_rhythm"]["low"] > 0

    as_30_days = answer["contests"][0]
    limits = {(each["counted"], each["limit"]): each for each in as_30_days["limits"]}
    fixed, blend = limits["calendar days", "fixed"], limits["calendar days", "blend"]
    assert blend["alarms_a_year"] <= fixed["alarms_a_year"]
    assert (fixed["fast"], round(blend["fast"])) == (31, 18)
    assert blend["every"] < min(fixed["every"], limits["calendar days", "own"]["every"])
    assert blend["alarms_a_year_if_set_before"] == pytest.approx(fixed["alarms_a_year"], rel=0.1)
    assert not any(row["7 calendar days, 5 of them working"] for row in answer["daily_users"])


@pytest.mark.usefixtures("benchmark")
@pytest.mark.parametrize(
    ("name", "days_since_last", "chance"),
    [("CDNOW", 0.763, 0.768), ("online retail", 0.691, 0.739)],
)
def test_the_chance_of_return_ranks_better_than_days_since_last(
    name: str, days_since_last: float, chance: float
) -> None:
    import active_days
    import dormancy

    ((_, load, split, horizon, *_),) = (
        dormancy_set for dormancy_set in dormancy.SETS if dormancy_set[0] == name
    )
    try:
        data = load()
    except active_days.Absent as error:
        pytest.skip(str(error))
    ranking = dormancy._rank(name, data, np.datetime64(split), horizon, 40)
    assert ranking.days_since_last.value == pytest.approx(days_since_last, abs=5e-4)
    assert ranking.p_return.value == pytest.approx(chance, abs=5e-4)
    assert ranking.p_return_over_days.low > 0
    assert ranking.p_return_over_rhythm.low > 0


@pytest.mark.usefixtures("benchmark")
def test_absent_data_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import active_days
    import dormancy

    monkeypatch.setattr(active_days, "RETAIL", tmp_path)
    monkeypatch.setattr(dormancy, "SETS", [each for each in dormancy.SETS if "retail" in each[0]])
    with pytest.raises(SystemExit) as ended:
        dormancy.main()
    assert ended.value.code == 1
    assert "online retail: left out: no file ../shared/data/" in capsys.readouterr().err


@pytest.mark.usefixtures("benchmark")
def test_active_days_by_hand() -> None:
    from active_days import ActiveDays

    days = np.array(
        ["2026-01-05T10:00", "2026-01-01", "2026-01-05T09:00", "2026-01-09", "2026-01-02"],
        "datetime64[s]",
    )
    data = ActiveDays.of(np.array(["a", "a", "a", "a", "b"]), days)
    gaps = data.gaps()
    assert (gaps.account.tolist(), gaps.days.tolist()) == ([0, 0], [4, 4])

    morning = np.datetime64("2026-01-09")
    known = data.as_of(morning)
    assert known.repeats.tolist() == [1, 0]
    assert known.last.tolist() == [4, 0]
    assert known.age.tolist() == [8, 7]
    assert known.days_silent.tolist() == [4, 7]
    assert data.returned(known.account, morning, 1).tolist() == [True, False]
    assert data.returned(known.account, morning + 1, 28).tolist() == [False, False]
