"""Another erasure key than then is refused wherever erased people could be mailed again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import delete, select

import planned_sends
from company import Company
from lifecycle.erasure import check_key, erase, remembered, remembered_keys
from lifecycle.errors import LedgerError, SettingsError
from lifecycle.ledger import suppressions
from lifecycle.ledger.backup import back_up, restore
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import erasure_keys
from lifecycle.mail.deliver import deliver

NOW = datetime(2026, 6, 10, 1, tzinfo=UTC)
AIKO, KEN = "aiko.sato@example.com", "ken@example.com"
OLD, NEW = "o" * 32, "n" * 40
REFUSED = "under another erasure key"


@pytest.fixture
def use(monkeypatch):
    return lambda key: monkeypatch.setenv("LIFECYCLE__PRIVACY__ERASURE_KEY", key)


@pytest.fixture
def company(tmp_path, use) -> Company:
    use(OLD)
    return Company(tmp_path / "company")


def test_plan_deliver_erase_and_restore_stop_under_another_key(company, use, tmp_path):
    with Ledger.open(company.settings.ledger_url) as ledger:
        planned_sends.plan(ledger, planned_sends.planned(1, at=NOW, address=KEN))
        erase(company.settings, ledger, AIKO, by="support", why="asked")
        use(NEW)
        settings = company.settings
        with pytest.raises(LedgerError, match=REFUSED):
            deliver(settings, ledger, now=NOW)
        with pytest.raises(LedgerError, match=REFUSED):
            erase(settings, ledger, KEN, by="support", why="asked")
        with pytest.raises(LedgerError, match=REFUSED):
            check_key(settings, ledger)  # what a run does first
        with ledger.read() as connection, pytest.raises(LedgerError, match=REFUSED):
            suppressions.reasons(connection, [AIKO], NEW)
        back_up(ledger, tmp_path / "backup.db")
    with Ledger.open(f"sqlite:///{tmp_path}/new.db") as empty:
        again = {"hashes": remembered(settings), "verifiers": remembered_keys(settings)}
        for more in (again, {}):
            with pytest.raises(LedgerError, match=REFUSED):
                restore(empty, tmp_path / "backup.db", by="eve", why="?", erasure_key=NEW, **more)
    use(OLD)
    with Ledger.open(company.settings.ledger_url) as ledger:
        assert deliver(company.settings, ledger, now=NOW).accepted == 1


def test_a_new_key_stands_before_the_old_one(company, use):
    with Ledger.open(company.settings.ledger_url) as ledger:
        erase(company.settings, ledger, AIKO, by="support", why="asked")
        use(f"{NEW} {OLD}")
        erase(company.settings, ledger, KEN, by="support", why="asked")
        with ledger.read() as connection:
            known = suppressions.reasons(connection, [AIKO, KEN, "x@example.com"], f"{NEW} {OLD}")
            assert known == {AIKO: "erased", KEN: "erased"}
        for key in (OLD, NEW):
            use(key)
            with pytest.raises(LedgerError, match=REFUSED):
                check_key(company.settings, ledger)


def test_a_ledger_of_before_keeps_the_key_of_the_first_run(company, use):
    settings = company.settings
    with Ledger.open(settings.ledger_url) as ledger:
        erase(settings, ledger, AIKO, by="support", why="asked")
        with ledger.write() as connection:  # as versions before left ledger and file
            connection.execute(delete(erasure_keys))
        hashes = "\n".join(sorted(remembered(settings)))
        settings.erased_file.write_text(f"{hashes}\n", encoding="utf-8")
        deliver(settings, ledger, now=NOW)
        use(NEW)
        with pytest.raises(LedgerError, match=REFUSED):
            deliver(company.settings, ledger, now=NOW)


def test_a_new_ledger_beside_the_file_of_the_erased_knows_them(company, use):
    with Ledger.open(company.settings.ledger_url) as ledger:
        erase(company.settings, ledger, AIKO, by="support", why="asked")
    (company.settings.state_dir / "ledger.db").unlink()
    with Ledger.open(company.settings.ledger_url) as ledger:
        use(NEW)
        with pytest.raises(LedgerError, match=REFUSED):
            check_key(company.settings, ledger)
        use(OLD)
        check_key(company.settings, ledger)
        with ledger.read() as connection:
            assert suppressions.reasons(connection, [AIKO, KEN], OLD) == {AIKO: "erased"}


def test_the_key_itself_is_nowhere(company):
    with Ledger.open(company.settings.ledger_url) as ledger:
        erase(company.settings, ledger, AIKO, by="support", why="asked")
        with ledger.read() as connection:
            (kept,) = connection.scalars(select(erasure_keys.c.verifier))
    assert kept.startswith("key:")
    for file in company.settings.state_dir.rglob("*"):
        assert not file.is_file() or OLD.encode() not in file.read_bytes(), file


@pytest.mark.parametrize("key", ["x9y8z7", "a long random text of several words"])
def test_a_short_key_is_refused_and_may_follow_a_long_one(company, use, key):
    use(key)
    with pytest.raises(SettingsError, match="at least 32 characters") as refusal:
        _ = company.settings
    assert key not in str(refusal.value)
    use(f"{NEW} x9y8z7")
    assert company.settings
