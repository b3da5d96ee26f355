"""Delivery in a storm: nothing twice, nothing lost, and every mistake is noticed."""

from __future__ import annotations

import pytest

from faults.storm import Storm, storm
from faults.worker import MUTATIONS


def check(seen: Storm, mails: int, kills: int, hits: int) -> None:
    assert seen.violations == []
    assert seen.kills == kills
    assert seen.hits >= hits, seen
    assert seen.pauses > 0
    assert seen.mails >= mails
    # The storm blew: answers were lost, workers died, some mails needed evidence or a person.
    for state in ("uncertain", "held", "rejected", "suppressed", "delivered"):
        assert seen.went_through[state] > 0, seen
    assert seen.taken > mails * 0.7


def test_a_storm_loses_nothing_and_repeats_nothing(tmp_path, ledger_url):
    check(storm(tmp_path, ledger_url, mails=600, kills=8), mails=600, kills=8, hits=1)


@pytest.mark.parametrize("mutation", [*MUTATIONS, "identity_without_the_cycle"])
def test_a_storm_notices_every_mistake_and_no_other(mutation, tmp_path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    noticed = storm(tmp_path, url, mails=200, mutation=mutation).violations
    assert (noticed == []) == (mutation == "no_mistake"), noticed


@pytest.mark.long
def test_a_long_storm_loses_nothing_and_repeats_nothing(tmp_path, ledger_url):
    seen = storm(tmp_path, ledger_url, mails=20_000, kills=200)
    check(seen, mails=20_000, kills=200, hits=50)
