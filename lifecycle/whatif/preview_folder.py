"""A preview as a folder of files, to open in a mail program and a spreadsheet.

index.txt      the preview as a person reads it
index.csv      one row a mail: its file, account, reader, step, language, time and subject
withheld.csv   one row for each mail or entry decided against: whom, and why
0001_check_in.eml, …   the mails as they would arrive, first to go first
to_come_last_call_en.eml, …  one of each step and language that no account would get now
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from operator import attrgetter
from pathlib import Path

from lifecycle.document import as_text
from lifecycle.errors import InputError
from lifecycle.outside_text import for_csv
from lifecycle.whatif.preview import Preview

WIDTH = 120
WITHHELD = ("contact_id", "step", "reason", "detail")


def write_folder(preview: Preview, folder: Path) -> None:
    """Write the preview's files. Raises InputError unless the folder is new or empty."""
    check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for number, (send, mail) in enumerate(preview.mails, start=1):
            file = f"{number:04}_{send.step}.eml"
            (folder / file).write_bytes(send.mime)
            account = (send.account_id, preview.name(send.account_id))
            when = preview.when(send.account_id, send.not_before)
            of_mail = (send.step, send.locale, when, mail.subject)
            rows.append((file, *account, mail.to_name, mail.to_email, *of_mail))
        for mail in preview.to_come:
            file = f"to_come_{mail.step}_{mail.locale}.eml"
            (folder / file).write_bytes(mail.as_bytes())
        columns = ("account_id", "account", "name", "to", "step", "language", "goes", "subject")
        _write_csv(folder / "index.csv", ("file", *columns), rows)
        why = attrgetter(*WITHHELD)
        _write_csv(
            folder / "withheld.csv",
            ("account_id", "account", *WITHHELD),
            (
                (withheld.account_id, preview.name(withheld.account_id), *why(withheld))
                for withheld in preview.result.decisions.withheld
            ),
        )
        (folder / "index.txt").write_text(
            as_text(preview.as_document(), width=WIDTH), encoding="utf-8"
        )
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be written: {error.strerror}") from None


def check_folder(folder: Path) -> None:
    """Raise InputError for a path that is no folder, and for a folder that is not empty."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder}: is a file, not a folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"--out {folder}: is not empty; name a new folder")


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    # Spreadsheets recognise UTF-8 by the byte order mark.
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([for_csv(value) for value in row] for row in rows)
