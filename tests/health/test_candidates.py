"""A company's own past chooses its score: what is learned, judged, calibrated, and told in bins."""

from __future__ import annotations

import numpy as np
import pytest

from lifecycle.errors import FitError
from lifecycle.health import bands, boosted, candidates
from lifecycle.health.candidates import BOOSTED, EQUAL_WEIGHTS, POINTS_NAME, SILENCE, WITH_PEERS
from lifecycle.health.measures import ALL_MEASURES, MORE_IS_WORSE
from lifecycle.health.scorecard import Scorecard
from lifecycle.health.snapshots import Limits, Snapshots
from lifecycle.health.validation import auc

ACCOUNTS, DAYS = 1_500, 4


def past(*, with_peers: bool = True, is_noise: bool = False) -> Snapshots:
    """Accounts in two segments over four months, some measures not known. A season that all share
    moves what they do, and not who leaves: only ranks among peers see through it."""
    dice = np.random.default_rng(3)
    size = ACCOUNTS * DAYS
    account = np.repeat([f"a{number}" for number in range(ACCOUNTS)], DAYS)
    month = np.tile(np.arange(DAYS), ACCOUNTS)
    risk = np.repeat(dice.normal(size=ACCOUNTS), DAYS)
    season = np.array([0.0, 3.0, -3.0, 1.0])[month]
    churned = dice.random(size) < 1 / (1 + np.exp(2 - (0 if is_noise else 1.2) * risk))
    sign = {name: 1 if name in MORE_IS_WORSE else -1 for name in ALL_MEASURES}
    measures = {
        name: sign[name]
        * (
            risk + dice.normal(size=size)
            if name.startswith("peer_")
            else risk + season + 2 * dice.normal(size=size)
        )
        for name in ALL_MEASURES
    }
    measures["active_users_share"][dice.random(size) < 0.4] = np.nan
    measures["support_load"][:] = np.nan
    if not with_peers:
        for name in ALL_MEASURES:
            if name.startswith("peer_"):
                measures[name][:] = np.nan
    day = np.datetime64("2026-01-01") + 30 * month
    return Snapshots(
        account=account,
        segment=np.where(np.arange(size) % 2 == 0, "smb", ""),
        day=day,
        as_of=day.astype("datetime64[us]"),
        in_force=np.full(size, "", object),
        measures=measures,
        raw_score=50 - 5 * season + dice.normal(size=size) - (risk if is_noise else 0),
        days_silent=np.abs(season + dice.normal(size=size)),
        gaps=np.full(size, 5.0),
        own_gap=np.full(size, 4.0),
        churned=churned,
        band_changes=np.zeros(size),
        reversals=np.zeros(size),
    )


@pytest.fixture(scope="module")
def choice() -> candidates.Choice:
    return candidates.choose(past())


def test_what_ranks_the_past_best_is_chosen_and_every_figure_is_kept(
    choice: candidates.Choice,
) -> None:
    by_name = {item.name: item for item in choice.candidates}
    assert set(by_name) == {SILENCE, EQUAL_WEIGHTS, POINTS_NAME, WITH_PEERS, BOOSTED}
    (chosen,) = (item for item in choice.candidates if item.is_chosen)
    assert chosen.name in {WITH_PEERS, BOOSTED}
    assert chosen.auc > by_name[POINTS_NAME].auc + 0.03, "the season hides who leaves"
    assert chosen.over_silence.low > 0
    assert by_name[SILENCE].over_silence.value == 0


def test_its_chances_come_true(choice: candidates.Choice) -> None:
    (chosen,) = (item for item in choice.candidates if item.is_chosen)
    assert chosen.calibration_error is not None
    assert chosen.calibration_error < 0.03
    card, everything = choice.scorecard, past()
    assert card is not None
    chance = card.p_churn({name: everything.measures[name] for name in card.weights})
    # How many leave is taken from the newest three days.
    newest = everything.day > np.datetime64("2026-01-01")
    assert choice.usual_chance == pytest.approx(everything.churned[newest].mean())
    assert chance[newest].mean() == pytest.approx(choice.usual_chance, abs=0.01)


def test_without_peers_only_points_are_candidates() -> None:
    names = {item.name for item in candidates.choose(past(with_peers=False)).candidates}
    assert names == {SILENCE, EQUAL_WEIGHTS, POINTS_NAME}


def test_too_few_who_left_choose_nothing() -> None:
    few = past()
    few.churned[:] = False
    few.churned[:99] = True
    with pytest.raises(FitError, match="99 accounts left or stayed"):
        candidates.choose(few)


def test_a_boosted_model_is_a_table_of_bins_that_only_goes_one_way() -> None:
    everything = past()
    card = boosted.fit(everything.measures, everything.churned)
    assert "support_load" not in card.weights, "nobody has it"
    for name in card.weights:
        *known, unknown = (part for part in card.bins if part.measure == name)
        assert unknown.above is None
        assert known[0].above == -np.inf
        assert known[-1].up_to == np.inf
        assert [part.up_to for part in known[:-1]] == [part.above for part in known[1:]]
        steps = np.diff([part.points for part in known])
        assert (steps <= 1e-9).all() if name in MORE_IS_WORSE else (steps >= -1e-9).all()
    measures = {name: everything.measures[name] for name in card.weights}
    assert auc(card.p_churn(measures), everything.churned) > 0.65
    assert np.median(card.score(measures)) == pytest.approx(50, abs=0.5)


def test_a_silence_is_held_against_the_limits_of_the_version() -> None:
    rows = past()
    rows.days_silent[:3] = [10, np.inf, 30]
    limits = Limits(factor=2.0, segment_gaps={"smb": 9.0}, least=7, most=90)
    under = rows.under(limits)
    # exp((5 ln 4 + 5 ln 9) / 10) = 6; sqrt(9 * 6) = 7.35; twice that is 14.7.
    assert under.measures["recency_share"][0] == pytest.approx(10 / 14)
    # Who was never active, and who has no segment with a gap, keep what was stored.
    assert under.measures["recency_share"][1] == rows.measures["recency_share"][1]
    assert rows.under(None) is rows


def scorecard_of(spread: float) -> tuple[Scorecard, np.ndarray]:
    card = Scorecard((), {}, 50.0, np.log(0.1 / 0.9))
    return card, 50 + spread * np.random.default_rng(1).normal(size=2_000)


def test_a_band_means_the_odds_of_leaving_against_the_usual_ones() -> None:
    card, score = scorecard_of(20)
    bounds = bands.bounds(card, 0.1, score)
    # The score of the usual odds is the base; 20 points below, the odds are twice as high.
    assert (bounds.green_from, bounds.yellow_from) == (50.0, 30.0)
    assert "at least 2 times" in bounds.meaning
    assert list(bounds.bands([50, 49.9, 30, 29.9])) == ["green", "yellow", "yellow", "red"]


def test_where_the_odds_would_leave_a_band_empty_ranks_take_their_place() -> None:
    card, score = scorecard_of(2)
    bounds = bands.bounds(card, 0.1, score)
    assert "the worst 10%" in bounds.meaning
    assert bands.shares(bounds.bands(score))["red"] == pytest.approx(0.1, abs=0.01)
    assert min(bands.shares(bounds.bands(score)).values()) > bands.LEAST_SHARE


def test_a_version_that_moves_too_many_or_empties_a_band_is_held() -> None:
    before = np.array(["green"] * 60 + ["yellow"] * 30 + ["red"] * 10)
    assert bands.why_held(before, before) == ""
    after = before.copy()
    after[:36] = "yellow"
    assert "36% of the accounts another band" in bands.why_held(before, after)
    after = np.where(before == "red", "yellow", before)
    assert bands.why_held(before, after) == "it would leave nobody red"
    assert bands.why_held(np.full(100, None, object), before) == ""
