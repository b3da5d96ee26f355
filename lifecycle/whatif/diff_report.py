"""The report of `lifecycle diff`: a table, JSON, or Markdown for a review.

Reviews are read by many people, so the report masks every address.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from difflib import unified_diff
from pathlib import Path
from typing import Any

import duckdb

from lifecycle.document import Document, Id, Section, Table, as_markdown, counted, moment, table
from lifecycle.errors import GateStopped, Problem, WarehouseError
from lifecycle.ledger.store import Ledger
from lifecycle.masking import mask_addresses
from lifecycle.settings import Settings
from lifecycle.temporary_folders import temporary_folder
from lifecycle.warehouse import published_marts
from lifecycle.warehouse.connection import connect_published, connect_work
from lifecycle.warehouse.sandbox import marts_as_of
from lifecycle.whatif.diff import ChangedMail, Mail, TriggerChange, compare, see
from lifecycle.whatif.variant import Variant, changed_models, changed_settings, have_same_marts

ROWS = 20
"""Rows that a person is shown of a long list."""
TEXTS = 10
"""How many changed mails are shown with their text, one of each step and language."""


@dataclass(frozen=True)
class Diff:
    """The differences that two sets of files make for today's accounts."""

    before: Variant
    after: Variant
    as_of: datetime
    triggers: list[TriggerChange]
    models: list[str]
    """Files of the dbt project that differ."""
    settings: dict[str, tuple[object, object]]
    """Keys of the settings that differ, with both values."""
    rebuilt: bool
    """Whether both sides' marts were built anew; else both read the published marts."""
    problems: list[Problem]
    """The problems of the files before the change."""
    waiting: dict[str, list[str]]
    """A sentence for each trigger that waits for the usage feed, by side."""
    names: dict[str, str]
    """Account id: name."""
    time_zone: str

    @property
    def with_effect(self) -> list[TriggerChange]:
        """The triggers whose change affects an account today."""
        return [change for change in self.triggers if change.has_effect]

    @property
    def changed(self) -> list[TriggerChange]:
        """The triggers with another file, other mails, or an effect."""
        return [change for change in self.triggers if change.state != "same" or change.has_effect]

    def as_json(self) -> dict[str, Any]:
        """The object of `diff --json`."""
        return {
            "before": self.before.name,
            "after": self.after.name,
            "as_of": self.as_of.isoformat(),
            "marts": "rebuilt" if self.rebuilt else "published",
            "models": self.models,
            "settings": {
                key: {"before": old, "after": new} for key, (old, new) in self.settings.items()
            },
            "problems": [mask_addresses(str(problem)) for problem in self.problems],
            "waiting": self.waiting,
            "triggers": [self._trigger_json(change) for change in self.triggers],
        }

    def _trigger_json(self, change: TriggerChange) -> dict[str, Any]:
        return {
            **{name: getattr(change, name) for name in ("name", "state", "parts", "files")},
            "words": {
                file: mask_addresses(_lines(old, new)) for file, (old, new) in change.words.items()
            },
            "audience": {
                "before": change.matched,
                "after": change.matches,
                "enters": self._named(change.comes_to_match),
                "leaves": self._named(change.matches_no_more),
            },
            "sequence": {
                "inside": change.inside,
                "enters": self._named(change.enters),
                "enters_no_more": self._named(change.enters_no_more),
                "leaves": self._named(change.leaves),
                "leaves_no_more": self._named(change.leaves_no_more),
                "migrated": self._named(change.migrated),
            },
            "mails": {
                "new": [self._mail_json(mail) for mail in change.new_mails],
                "gone": [self._mail_json(mail) for mail in change.gone_mails],
                "changed": [
                    {
                        "what": list(pair.differences),
                        "before": self._mail_json(pair.before),
                        "after": self._mail_json(pair.after),
                    }
                    for pair in change.changed_mails
                ],
            },
            "withheld": {
                "new": [_masked(asdict(mail)) for mail in change.withheld],
                "no_more": [_masked(asdict(mail)) for mail in change.withheld_no_more],
            },
        }

    def _named(self, accounts: Sequence[str] | dict[str, str]) -> list[dict[str, str]]:
        reasons = accounts if isinstance(accounts, dict) else {}
        return [
            {"account_id": account_id, "name": self.names.get(account_id, account_id)}
            | ({"reason": reasons[account_id]} if account_id in reasons else {})
            for account_id in accounts
        ]

    def _mail_json(self, mail: Mail) -> dict[str, Any]:
        fields_of_mail = asdict(mail)
        del fields_of_mail["body"]
        return _masked({**fields_of_mail, "not_before": mail.not_before.isoformat()})

    def as_markdown(self) -> str:
        """The difference for a pull request."""
        return mask_addresses(as_markdown(self.as_document()))

    def as_document(self) -> Document:
        """The difference for a person."""
        sections = [self._summary()]
        if self.problems:
            problems = tuple(mask_addresses(str(problem)) for problem in self.problems)
            sections.append(Section(f"Wrong at {self.before.name}", problems, "warning"))
        for change in self.changed:
            sections += [self._trigger(change), *self._texts(change)]
        return sections

    def _summary(self) -> Section:
        when = moment(self.as_of, self.time_zone)
        parts: list[str | Table] = [self._verdict(), *self._files()]
        for side, sentences in self.waiting.items():
            parts += [f"{side}: {sentence}" for sentence in sentences]
        rows = [
            (
                change.name,
                change.state,
                _change(change.matched, change.matches),
                _signed(len(change.enters), len(change.enters_no_more)),
                _signed(len(change.leaves), len(change.leaves_no_more)),
                _signed(len(change.new_mails), len(change.gone_mails)),
                len(change.changed_mails),
                _signed(len(change.withheld), len(change.withheld_no_more)),
            )
            for change in self.changed
        ]
        columns = (
            *("trigger", "files", "audience", "enter", "leave"),
            *("mails", "changed", "withheld"),
        )
        if rows:
            parts.append(table(columns, rows))
        return Section(f"{self.before.name} → {self.after.name}, as of {when}", tuple(parts))

    def _verdict(self) -> str:
        if not self.with_effect:
            return "Nobody's audience or mail of today changes."
        accounts = {account for change in self.with_effect for account in change.accounts}
        return (
            f"{counted(len(accounts), 'account')} of today "
            f"{'is' if len(accounts) == 1 else 'are'} concerned. Nothing is written or sent."
        )

    def _files(self) -> Iterator[str]:
        if self.settings:
            settings = (f"{key} ({old} → {new})" for key, (old, new) in self.settings.items())
            yield mask_addresses(f"Settings that differ: {', '.join(settings)}.")
        if self.models:
            yield f"Models that differ: {', '.join(self.models)}."
        if self.rebuilt:
            yield "Models or thresholds differ, so both sides' marts were built anew for it."
        else:
            yield "Both sides look at the marts that the last run published."

    def _trigger(self, change: TriggerChange) -> Section:
        parts: list[str | Table] = []
        if change.state == "unreadable":
            parts.append("One side's file cannot be used, so nothing is compared.")
        if change.parts:
            parts.append(f"Its file differs in {', '.join(change.parts)}.")
        if change.files:
            parts.append(f"Its mails' files differ: {', '.join(change.files)}.")
        if change.inside and change.state in ("changed", "removed"):
            parts.append(
                f"{counted(change.inside, 'account')} inside its sequence now; "
                f"{len(change.migrated):,} would go on by the changed file."
            )
        changes_of: defaultdict[str, list[str]] = defaultdict(list)
        for text, ids in (
            ("comes into the audience", change.comes_to_match),
            ("drops out of the audience", change.matches_no_more),
            ("enters now", change.enters),
            ("does not enter any more", change.enters_no_more),
            ("stays in its sequence", change.leaves_no_more),
            ("goes on by the changed file", change.migrated),
        ):
            for account_id in ids:
                changes_of[account_id].append(text)
        for account_id, why in change.leaves.items():
            changes_of[account_id].append(f"leaves its sequence: {why}")
        parts += _cut(
            ("account", "id", "what"),
            [
                (self.names.get(id_), Id(id_), ", ".join(text))
                for id_, text in sorted(changes_of.items())
            ],
            by=2,
        )
        mails = [
            *(("new", mail) for mail in change.new_mails),
            *(("gone", mail) for mail in change.gone_mails),
            *(
                (f"changed: {', '.join(pair.differences)}", pair.after)
                for pair in change.changed_mails
            ),
        ]
        parts += _cut(
            ("account", "id", "to", "mail", "language", "goes at the earliest", "what"),
            [
                (
                    self.names.get(mail.account_id),
                    Id(mail.account_id),
                    mask_addresses(mail.to),
                    mail.step,
                    mail.locale,
                    moment(mail.not_before, self.time_zone),
                    change_of_mail,
                )
                for change_of_mail, mail in mails
            ],
            by=6,
        )
        withheld = [
            *(("newly", mail) for mail in change.withheld),
            *(("no more", mail) for mail in change.withheld_no_more),
        ]
        parts += _cut(
            ("account", "id", "contact", "mail", "withheld", "reason", "detail"),
            [
                (
                    self.names.get(mail.account_id),
                    Id(mail.account_id),
                    mail.contact_id or None,
                    mail.step or "entry",
                    when,
                    str(mail.reason),
                    mask_addresses(mail.detail),
                )
                for when, mail in withheld
            ],
            by=4,
        )
        return Section(f"{change.name}: {change.state}", tuple(parts))

    def _texts(self, change: TriggerChange) -> list[Section]:
        """The changed lines of its files, and one changed mail of each step and language as an
        account would get it."""
        examples: dict[tuple[str, str], ChangedMail] = {}
        for pair in change.changed_mails:
            if {"subject", "body"} & set(pair.differences):
                examples.setdefault((pair.after.step, pair.after.locale), pair)
        sections = [
            Section(file, (mask_addresses(_lines(old, new)),))
            for file, (old, new) in list(change.words.items())[:TEXTS]
        ]
        for (step, locale), pair in list(examples.items())[:TEXTS]:
            old, new = (
                f"Subject: {mail.subject}\n\n{mail.body}" for mail in (pair.before, pair.after)
            )
            name = self.names.get(pair.after.account_id, pair.after.account_id)
            title = f"{change.name}/{step} ({locale}) as {name} would get it"
            sections.append(Section(title, (mask_addresses(_lines(old, new)),)))
        return sections


def diff(settings: Settings, ledger: Ledger, before: Variant, after: Variant) -> Diff:
    """Decide by both sets of files, on the marts of the last run and what the ledger knows, at
    that run's moment.

    Only where models, or settings that they read, differ, the marts of both are built, in
    temporary copies. Writes nothing. Raises WarehouseError when nothing was published yet, or
    when the marts have to be built and there is no data to build them from; GateStopped when
    those of `after` fail a test. What is wrong with `before` is a problem of the result.
    """
    problems = list(before.problems)
    with ExitStack() as stack:
        present = stack.enter_context(connect_published(settings))
        earlier, rebuilt = present, False
        as_of = published_marts.as_of(present)
        if not have_same_marts(before, after):
            folder = stack.enter_context(temporary_folder(settings.state_dir, "diff"))
            present = stack.enter_context(_built(after, as_of, folder / "after"))
            try:
                earlier = stack.enter_context(_built(before, as_of, folder / "before"))
                rebuilt = True
            except (WarehouseError, GateStopped) as error:
                what = f"its marts cannot be built, so the present ones stand in: {error}"
                problems.append(Problem(before.name, None, what))
                earlier, rebuilt = present, True
        with ledger.read() as reading:
            sides = see(before, earlier, reading, as_of), see(after, present, reading, as_of)
            changes = compare(*sides, reading)
        ids = sorted({account for change in changes for account in change.accounts})
        names = {
            row["account_id"]: row["name"]
            for warehouse in (earlier, present)
            for row in published_marts.accounts(warehouse, ids)
        }
    waiting = {side.variant.name: list(side.result.waiting) for side in sides}
    return Diff(
        before=before,
        after=after,
        as_of=as_of,
        triggers=changes,
        models=changed_models(before, after),
        settings=changed_settings(before, after),
        rebuilt=rebuilt,
        problems=problems,
        waiting={side: sentences for side, sentences in waiting.items() if sentences},
        names=names,
        time_zone=settings.company.time_zone,
    )


@contextmanager
def _built(variant: Variant, when: datetime, folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect_work(
        marts_as_of(variant.settings, when, folder, project=variant.project)
    ) as connection:
        yield connection


def _lines(old: str, new: str) -> str:
    """A unified diff with one line of context."""
    lines = unified_diff(old.splitlines(), new.splitlines(), "before", "after", lineterm="", n=1)
    return "\n".join(lines)


def _masked(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: mask_addresses(value) if isinstance(value, str) else value
        for name, value in values.items()
    }


def _cut(
    columns: tuple[str, ...], rows: Sequence[tuple[str | None, ...]], *, by: int
) -> list[str | Table]:
    """A table of the first rows, and how many there are of each kind where it is cut."""
    if not rows:
        return []
    parts: list[str | Table] = [table(columns, rows[:ROWS])]
    if len(rows) > ROWS:
        kinds = Counter(str(row[by]) for row in rows)
        counts = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())
        parts.append(f"{len(rows):,} in all: {counts}. --json lists them.")
    return parts


def _change(before: int, after: int) -> str:
    return f"{before:,}" if before == after else f"{before:,} → {after:,}"


def _signed(more: int, less: int) -> str:
    parts = [f"+{more:,}"] * bool(more) + [f"-{less:,}"] * bool(less)
    return " ".join(parts) or "0"
