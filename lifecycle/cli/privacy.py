"""Commands that erase a person, and that back up and restore the ledger."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from lifecycle.cli import answer
from lifecycle.cli.app import AsJson, By, Why, app

PANEL = "Erase and keep"


@app.command(rich_help_panel=PANEL)
def erase(
    context: typer.Context,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The e-mail address.")],
    by: By,
    why: Why = "asked for",
    also: Annotated[
        bool,
        typer.Option(
            "--also",
            metavar="",
            help="Erase too what may be the same person: name+tag@ of name@, and earlier addresses "
            "of the same contact. Without it they are listed.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Erase a person everywhere. Only a keyed hash stays, so that they are never mailed again."""
    from lifecycle.erasure import erase
    from lifecycle.state_lock import only_one

    with context.obj.ledger() as (settings, ledger), only_one(settings.state_dir):
        erased = erase(settings, ledger, address, by=by, why=why, also=also)
    if as_json:
        answer.write_json(dataclasses.asdict(erased))
        return
    if erased.was_known:
        answer.write(
            f"Erased: {erased.mails} stored mails, {erased.rows} rows of the warehouse, "
            f"{erased.files} files. Erase the person in the CRM too: what it exports comes back, "
            "though it is never mailed."
        )
    else:
        answer.write(
            f"Nobody here has the address {address.strip()}. Its hash is kept, so that it is never "
            "mailed."
        )
    if erased.nearest:
        answer.write(f"Did you mean {' or '.join(erased.nearest)}?")
    if erased.also:
        answer.write(
            f"Perhaps the same person, and not erased: {', '.join(erased.also)}. The same command "
            "with --also erases them too."
        )
    if erased.leaves_traces:
        answer.write(
            "Another process was reading the ledger, and its log (ledger.db-wal) still has what "
            "was deleted. Run the same command again when that process has ended."
        )


@app.command(rich_help_panel=PANEL)
def backup(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="The file to write; else a new one beside the nightly copies ([backup]).",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy the ledger into one file. Safe at any time, also during a run."""
    from lifecycle.ledger.backup import back_up
    from lifecycle.ledger.nightly import copy_ledger

    with context.obj.ledger() as (settings, ledger):
        if file is None:
            copied = copy_ledger(settings, ledger)
            file, rows = copied.file, copied.rows
        else:
            rows = back_up(ledger, file)
    if as_json:
        answer.write_json({"file": str(file), "rows": rows})
    else:
        answer.write(f"{file}: {rows} rows.")


@app.command(rich_help_panel=PANEL)
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    by: By,
    why: Why,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into an empty ledger. Mails that may have left since become uncertain."""
    from lifecycle.erasure import remembered, remembered_keys
    from lifecycle.ledger.backup import restore

    with context.obj.ledger() as (settings, ledger):
        key = settings.privacy.erasure_key.get_secret_value()
        doubtful = restore(
            ledger,
            file,
            by=by,
            why=why,
            hashes=remembered(settings),
            verifiers=remembered_keys(settings),
            erasure_key=key,
        )
    if as_json:
        answer.write_json({"file": str(file), "uncertain": doubtful})
    else:
        answer.write(
            f"Restored. {doubtful} mails may have left since and wait for evidence. Whoever was "
            "erased from another state folder since the backup has to be erased again."
        )
