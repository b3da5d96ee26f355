"""Brings the tables of an older ledger up to date, by Alembic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from lifecycle.errors import NewerVersion

if TYPE_CHECKING:
    from lifecycle.ledger.store import Ledger


def migrate(ledger: Ledger, revision: str | None) -> None:
    """Bring the tables from `revision` to the newest one; None creates them.

    Raises NewerVersion for a revision that this version of the code does not know.
    """
    from lifecycle.ledger.store import MIGRATIONS, NEWEST

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision not in {None, *known}:
        what = (
            f"was written by a newer version: its ledger is at revision {revision}, and this "
            f"version knows revisions up to {NEWEST}. Install the newer version again, or "
            "restore a backup that this one made into another state folder"
        )
        raise NewerVersion(f"this state folder {what} ({ledger.engine.url!r})", what)
    with ledger.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
