"""What leaves is what docs/triggers.md says: each mail, in its minute, and no other.

Random companies live through nine bad days twice: by the real planner and ledger, and by the
oracle, which was written from the document. What the document promises whatever happens is looked
for in the ledger besides. A company has four towns, each with troubles of its own. `make test`
draws 50 companies (200 towns), `make oracle` ORACLE_CASES towns.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from company import Marts
from journey import Shared
from lifecycle.triggers.columns import account_columns, contact_columns
from oracle.companies import PLACES, TOWNS, Case, cases
from oracle.lived import Life, real
from oracle.promises import Departure, Lived, check_promises

QUICK = (Phase.explicit, Phase.reuse, Phase.generate)
FEW, MANY = 200, int(os.environ.get("ORACLE_CASES", "5000"))


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    with duckdb.connect(config={"threads": 1}) as warehouse:
        yield Shared(warehouse, Marts(warehouse), account_columns(), contact_columns())


@pytest.fixture(scope="module")
def sent() -> Iterator[list[int]]:
    """Mails that left in each case: where none ever leaves, nothing can be wrong with them."""
    sent: list[int] = []
    yield sent
    print(f"{len(sent)} companies, {len(sent) * TOWNS} towns, {sum(sent)} mails")
    assert sum(sent) > 5 * len(sent), sent


def agree(case: Case, shared: Shared, folder: Path) -> int:
    """Both lives have the same mails; returns how many."""
    journey, left = real(case, shared, folder)
    life = Life(case, journey.delivered)
    expected = life.live()
    assert left == expected, f"{set(left) ^ set(expected)}\n{case}\n{life.oracle.why}"
    departures = [Departure(mail.send, mail.at) for mail in journey.left]
    url = journey.settings.ledger_url
    check_promises(Lived(journey.triggers, departures, url, PLACES))
    return len(left)


@settings(max_examples=FEW // TOWNS, suppress_health_check=list(HealthCheck), phases=QUICK)
@given(cases())
def test_what_leaves_is_what_the_document_says(
    shared: Shared, sent: list[int], tmp_path_factory: pytest.TempPathFactory, case: Case
) -> None:
    sent.append(agree(case, shared, tmp_path_factory.mktemp("oracle") / "company"))


@pytest.mark.long
@settings(max_examples=MANY // TOWNS, suppress_health_check=list(HealthCheck), phases=QUICK)
@given(cases())
def test_it_is_so_thousands_of_times(
    shared: Shared, sent: list[int], tmp_path_factory: pytest.TempPathFactory, case: Case
) -> None:
    sent.append(agree(case, shared, tmp_path_factory.mktemp("oracle") / "company"))
