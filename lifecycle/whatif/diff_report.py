"""What a change of the files does to today's audience: a table, JSON, Markdown for a review.

It is read where others read along, so no address is shown whole.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from difflib import unified_diff
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from lifecycle.document import Document, Id, Section, Table, as_markdown, counted, moment, table
from lifecycle.errors import GateStopped, Problem, WarehouseError
from lifecycle.ledger.store import Ledger
from lifecycle.masking import mask_addresses
from lifecycle.settings import Settings
from lifecycle.warehouse import published_marts
from lifecycle.warehouse.connection import connect_published, connect_work
from lifecycle.warehouse.sandbox import marts_as_of
from lifecycle.whatif.diff import ChangedMail, Mail, TriggerChange, compare, see
from lifecycle.whatif.variant import Variant, changed_models, changed_settings, have_same_marts

ROWS = 20
"""Rows that a person is shown of a long list."""
TEXTS = 10
"""Changed mails that are shown word by word, one of each step and language."""


@dataclass(frozen=True)
class Diff:
    """What differs between two sets of files for the people of today."""

    before: Variant
    after: Variant
    as_of: datetime
    triggers: list[TriggerChange]
    models: list[str]
    """Files of the dbt project that differ."""
    settings: dict[str, tuple[object, object]]
    """Keys of the settings that differ, with both values."""
    rebuilt: bool
    """Whether both sides' marts were built anew; else both saw the published ones."""
    problems: list[Problem]
    """What is wrong with the files before."""
    waiting: dict[str, list[str]]
    """A sentence for each trigger that waits for the usage feed, by side."""
    names: dict[str, str]
    """Account id: name."""
    time_zone: str

    @property
    def with_effect(self) -> list[TriggerChange]:
        """The triggers by which somebody is concerned today."""
        return [one for one in self.triggers if one.has_effect]

    @property
    def changed(self) -> list[TriggerChange]:
        """The triggers with another file, other mails, or an effect."""
        return [one for one in self.triggers if one.state != "same" or one.has_effect]

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
            "triggers": [self._trigger_json(one) for one in self.triggers],
        }

    def _trigger_json(self, one: TriggerChange) -> dict[str, Any]:
        return {
            **{name: getattr(one, name) for name in ("name", "state", "parts", "files")},
            "words": {
                file: mask_addresses(_lines(old, new)) for file, (old, new) in one.words.items()
            },
            "audience": {
                "before": one.matched,
                "after": one.matches,
                "enters": self._named(one.comes_to_match),
                "leaves": self._named(one.matches_no_more),
            },
            "sequence": {
                "inside": one.inside,
                "enters": self._named(one.enters),
                "enters_no_more": self._named(one.enters_no_more),
                "leaves": self._named(one.leaves),
                "leaves_no_more": self._named(one.leaves_no_more),
                "migrated": self._named(one.migrated),
            },
            "mails": {
                "new": [self._mail_json(mail) for mail in one.new_mails],
                "gone": [self._mail_json(mail) for mail in one.gone_mails],
                "changed": [
                    {
                        "what": list(pair.what),
                        "before": self._mail_json(pair.before),
                        "after": self._mail_json(pair.after),
                    }
                    for pair in one.changed_mails
                ],
            },
            "withheld": {
                "new": [_masked(asdict(left)) for left in one.withheld],
                "no_more": [_masked(asdict(left)) for left in one.withheld_no_more],
            },
        }

    def _named(self, accounts: Sequence[str] | dict[str, str]) -> list[dict[str, str]]:
        reasons = accounts if isinstance(accounts, dict) else {}
        return [
            {"account_id": one, "name": self.names.get(one, one)}
            | ({"reason": reasons[one]} if one in reasons else {})
            for one in accounts
        ]

    def _mail_json(self, mail: Mail) -> dict[str, Any]:
        told = asdict(mail)
        del told["body"]
        return _masked({**told, "not_before": mail.not_before.isoformat()})

    def as_markdown(self) -> str:
        """The difference for a pull request."""
        return mask_addresses(as_markdown(self.as_document()))

    def as_document(self) -> Document:
        """The difference for a person."""
        sections = [self._summary()]
        if self.problems:
            told = tuple(mask_addresses(str(problem)) for problem in self.problems)
            sections.append(Section(f"Wrong at {self.before.name}", told, "warning"))
        for one in self.changed:
            sections += [self._trigger(one), *self._texts(one)]
        return sections

    def _summary(self) -> Section:
        when = moment(self.as_of, self.time_zone)
        parts: list[str | Table] = [self._verdict(), *self._files()]
        for side, sentences in self.waiting.items():
            parts += [f"{side}: {sentence}" for sentence in sentences]
        rows = [
            (
                one.name,
                one.state,
                _change(one.matched, one.matches),
                _signed(len(one.enters), len(one.enters_no_more)),
                _signed(len(one.leaves), len(one.leaves_no_more)),
                _signed(len(one.new_mails), len(one.gone_mails)),
                len(one.changed_mails),
                _signed(len(one.withheld), len(one.withheld_no_more)),
            )
            for one in self.changed
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
        accounts = {account for one in self.with_effect for account in one.accounts}
        return (
            f"{counted(len(accounts), 'account')} of today "
            f"{'is' if len(accounts) == 1 else 'are'} concerned. Nothing is written or sent."
        )

    def _files(self) -> Iterator[str]:
        if self.settings:
            shown = (f"{key} ({old} → {new})" for key, (old, new) in self.settings.items())
            yield mask_addresses(f"Settings that differ: {', '.join(shown)}.")
        if self.models:
            yield f"Models that differ: {', '.join(self.models)}."
        if self.rebuilt:
            yield "Models or thresholds differ, so both sides' marts were built anew for it."
        else:
            yield "Both sides look at the marts that the last run published."

    def _trigger(self, one: TriggerChange) -> Section:
        parts: list[str | Table] = []
        if one.state == "unreadable":
            parts.append("One side's file cannot be used, so nothing is compared.")
        if one.parts:
            parts.append(f"Its file differs in {', '.join(one.parts)}.")
        if one.files:
            parts.append(f"Its mails' files differ: {', '.join(one.files)}.")
        if one.inside and one.state in ("changed", "removed"):
            parts.append(
                f"{counted(one.inside, 'account')} inside its sequence now; "
                f"{len(one.migrated):,} would go on by the changed file."
            )
        what: defaultdict[str, list[str]] = defaultdict(list)
        for said, ids in (
            ("comes into the audience", one.comes_to_match),
            ("drops out of the audience", one.matches_no_more),
            ("enters now", one.enters),
            ("does not enter any more", one.enters_no_more),
            ("stays in its sequence", one.leaves_no_more),
            ("goes on by the changed file", one.migrated),
        ):
            for account_id in ids:
                what[account_id].append(said)
        for account_id, why in one.leaves.items():
            what[account_id].append(f"leaves its sequence: {why}")
        parts += _cut(
            ("account", "id", "what"),
            [(self.names.get(id_), Id(id_), ", ".join(said)) for id_, said in sorted(what.items())],
            by=2,
        )
        mails = [
            *(("new", mail) for mail in one.new_mails),
            *(("gone", mail) for mail in one.gone_mails),
            *((f"changed: {', '.join(pair.what)}", pair.after) for pair in one.changed_mails),
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
                    what,
                )
                for what, mail in mails
            ],
            by=6,
        )
        kept = [
            *(("newly", left) for left in one.withheld),
            *(("no more", left) for left in one.withheld_no_more),
        ]
        parts += _cut(
            ("account", "id", "contact", "mail", "withheld", "reason", "detail"),
            [
                (
                    self.names.get(left.account_id),
                    Id(left.account_id),
                    left.contact_id or None,
                    left.step or "entry",
                    what,
                    str(left.reason),
                    mask_addresses(left.detail),
                )
                for what, left in kept
            ],
            by=4,
        )
        return Section(f"{one.name}: {one.state}", tuple(parts))

    def _texts(self, one: TriggerChange) -> list[Section]:
        """What its files say differently, line by line, and one mail of each step and language
        whose words differ, as somebody gets it."""
        seen: dict[tuple[str, str], ChangedMail] = {}
        for pair in one.changed_mails:
            if {"subject", "body"} & set(pair.what):
                seen.setdefault((pair.after.step, pair.after.locale), pair)
        sections = [
            Section(file, (mask_addresses(_lines(old, new)),))
            for file, (old, new) in list(one.words.items())[:TEXTS]
        ]
        for (step, locale), pair in list(seen.items())[:TEXTS]:
            old, new = (
                f"Subject: {mail.subject}\n\n{mail.body}" for mail in (pair.before, pair.after)
            )
            name = self.names.get(pair.after.account_id, pair.after.account_id)
            title = f"{one.name}/{step} ({locale}) as {name} would get it"
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
        here = stack.enter_context(connect_published(settings))
        there, rebuilt = here, False
        as_of = published_marts.as_of(here)
        if not have_same_marts(before, after):
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="lifecycle-diff-")))
            here = stack.enter_context(_built(after, as_of, folder / "after"))
            try:
                there = stack.enter_context(_built(before, as_of, folder / "before"))
                rebuilt = True
            except (WarehouseError, GateStopped) as error:
                what = f"its marts cannot be built, so the present ones stand in: {error}"
                problems.append(Problem(before.name, None, what))
                there, rebuilt = here, True
        with ledger.read() as known:
            sides = see(before, there, known, as_of), see(after, here, known, as_of)
            changes = compare(*sides, known)
        ids = sorted({account for one in changes for account in one.accounts})
        names = {
            row["account_id"]: row["name"]
            for warehouse in (there, here)
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
    """The lines that differ, each with one on either side."""
    lines = unified_diff(old.splitlines(), new.splitlines(), "before", "after", lineterm="", n=1)
    return "\n".join(lines)


def _masked(told: dict[str, Any]) -> dict[str, Any]:
    return {
        name: mask_addresses(value) if isinstance(value, str) else value
        for name, value in told.items()
    }


def _cut(
    columns: tuple[str, ...], rows: Sequence[tuple[str | None, ...]], *, by: int
) -> list[str | Table]:
    """A table of the first rows, and how many there are of each kind where it is cut."""
    if not rows:
        return []
    shown: list[str | Table] = [table(columns, rows[:ROWS])]
    if len(rows) > ROWS:
        kinds = Counter(str(row[by]) for row in rows)
        told = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())
        shown.append(f"{len(rows):,} in all: {told}. --json lists them.")
    return shown


def _change(before: int, after: int) -> str:
    return f"{before:,}" if before == after else f"{before:,} → {after:,}"


def _signed(more: int, less: int) -> str:
    parts = [f"+{more:,}"] * bool(more) + [f"-{less:,}"] * bool(less)
    return " ".join(parts) or "0"
