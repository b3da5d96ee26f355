"""The versions of a trigger: the file's own, and those by which people inside go on.

Who entered by a version finishes by it, as the ledger keeps it: the file's text, read with the
columns of today. Its mails are those in the folder now, so that a corrected typo reaches
everybody; the text that was kept with the version stands in only for a file that is gone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row

from lifecycle.authoring.template_check import mail_names, wrong_mails
from lifecycle.errors import Problem, TriggerError
from lifecycle.ledger.decisions import FirstUse
from lifecycle.mail.render import Renderer
from lifecycle.planning import ledger_state
from lifecycle.triggers.columns import account_columns, contact_columns
from lifecycle.triggers.commit import commit_of
from lifecycle.triggers.folder import parse_trigger
from lifecycle.triggers.model import Trigger


@dataclass(frozen=True)
class Version:
    """A version that people inside go on by, ready for use."""

    trigger: Trigger
    renderer: Renderer
    """Of its mails."""
    covered_versions: tuple[str, ...]
    """The versions whose enrolments it decides about: its own, and the older versions that it
    takes over."""

    called: str
    """In messages."""
    wrong_mails: str = ""
    """What is wrong with its mails: with the file of a step that the present version lacks."""


@dataclass(frozen=True)
class Unreadable:
    """A version that somebody is inside of and that cannot be used any more."""

    version: str
    why: str


def in_words(problems: Iterable[Problem]) -> str:
    """Problems in one sentence."""
    return "; ".join(str(problem) for problem in problems)


def called(trigger: str, version: str) -> str:
    """How messages call an older version of a trigger."""
    return f"{trigger} (version {version[:8]})"


def first_use(
    ledger: Connection, trigger: Trigger, renderer: Renderer, *, find_commit: bool
) -> FirstUse | None:
    """What the ledger keeps of a version that no run went by yet; None if one did."""
    if trigger.version in ledger_state.known_versions(ledger, trigger.name):
        return None
    return FirstUse(
        trigger=trigger.name,
        version=trigger.version,
        content=trigger.text,
        templates=renderer.texts(trigger.name, [step.id for step in trigger.steps]),
        git_commit=commit_of(trigger.file) if find_commit else None,
    )


def read(kept: Row[Any], file: Path) -> Trigger:
    """A version that the ledger keeps (a row of `trigger_versions`), with the columns of today.

    `file` is where its trigger stands, or stood. Raises TriggerError.
    """
    trigger = parse_trigger(kept.content, file, account_columns(), contact_columns())
    # The ledger's name for it, even if what a version is made of changes one day.
    return trigger.model_copy(update={"version": kept.version})


def older(
    ledger: Connection, present: Trigger, renderer: Renderer, now: datetime
) -> Iterator[Version | Unreadable]:
    """The versions besides the present one by which somebody goes on, or may meet a goal."""
    yield from in_use(ledger, present.file, renderer, now, besides=present.version)


def in_use(
    ledger: Connection, file: Path, renderer: Renderer, now: datetime, *, besides: str = ""
) -> Iterator[Version | Unreadable]:
    """The versions of a file's trigger by which somebody goes on, or may meet a goal."""
    name = file.stem
    wanted = set(ledger_state.versions_in_use(ledger, name, now)) - {besides}
    kept = ledger_state.known_versions(ledger, name) if wanted else {}
    for version in sorted(wanted):
        if version not in kept:
            yield Unreadable(version, "the ledger has no text of it")
            continue
        try:
            trigger = read(kept[version], file)
        except TriggerError as error:
            yield Unreadable(version, "; ".join(problem.what for problem in error.problems))
            continue
        mails = renderer.keeping(name, json.loads(kept[version].templates))
        wrong = wrong_mails(
            mails.templates,
            name,
            [step.id for step in trigger.steps],
            mail_names(account_columns(), contact_columns()),
        )
        yield Version(trigger, mails, (version,), called(name, version), in_words(wrong))
