"""Compares what two sets of files would decide now. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb
from sqlalchemy import Connection, Row, select

from lifecycle.ledger.decisions import Withheld
from lifecycle.ledger.tables import NOT_LEFT, enrollments, messages, sends
from lifecycle.mail.folder import Templates
from lifecycle.mail.message import Message
from lifecycle.planning import audience
from lifecycle.planning.plan import decide
from lifecycle.planning.plan_result import PlanResult
from lifecycle.template_names import OWNER_LIST
from lifecycle.triggers.model import Trigger
from lifecycle.triggers.yaml_file import YamlFile
from lifecycle.whatif.variant import Variant


@dataclass(frozen=True)
class Mail:
    """A planned mail of one side."""

    account_id: str
    contact_id: str
    to: str
    trigger: str
    step: str
    cycle: int
    locale: str
    not_before: datetime
    subject: str
    body: str


@dataclass(frozen=True)
class ChangedMail:
    """A mail that both sides plan, with different content, recipient or time."""

    before: Mail
    after: Mail

    @property
    def differences(self) -> tuple[str, ...]:
        """What differs: recipient, subject, body, time, language."""
        before, after = self.before, self.after
        differs = {
            "recipient": (before.contact_id, before.to) != (after.contact_id, after.to),
            "subject": before.subject != after.subject,
            "body": before.body != after.body,
            "time": before.not_before != after.not_before,
            "language": before.locale != after.locale,
        }
        return tuple(name for name, is_so in differs.items() if is_so)


@dataclass
class TriggerChange:
    """What changes for one trigger. Accounts are sorted ids."""

    name: str
    state: str
    """new, removed, changed, unreadable (on either side), or same, by the trigger's own files."""
    parts: list[str] = field(default_factory=list)
    """The keys of its file that changed."""
    files: list[str] = field(default_factory=list)
    """Its mails' files that differ: check_in.en (changed)."""
    words: dict[str, tuple[str, str]] = field(default_factory=dict)
    """File name: its text before and after, for the files that differ."""
    matched: int = 0
    """Accounts that its audience matched before; 0 where it waits for the usage feed."""
    matches: int = 0
    comes_to_match: list[str] = field(default_factory=list)
    matches_no_more: list[str] = field(default_factory=list)
    enters: list[str] = field(default_factory=list)
    """Accounts that would now enter, and would not before."""
    enters_no_more: list[str] = field(default_factory=list)
    leaves: dict[str, str] = field(default_factory=dict)
    """Account that would now leave its sequence, and would not before: the reason."""
    leaves_no_more: dict[str, str] = field(default_factory=dict)
    inside: int = 0
    """Accounts with an open enrolment in the ledger."""
    migrated: list[str] = field(default_factory=list)
    """Those of them that would continue by the changed file."""
    new_mails: list[Mail] = field(default_factory=list)
    gone_mails: list[Mail] = field(default_factory=list)
    """Mails that were planned before and are not now, or that wait and would be stopped."""
    changed_mails: list[ChangedMail] = field(default_factory=list)
    withheld: list[Withheld] = field(default_factory=list)
    """Mails and entries that would be withheld now, and were not before, or for another reason."""
    withheld_no_more: list[Withheld] = field(default_factory=list)

    @property
    def has_effect(self) -> bool:
        """Whether anything differs for anybody today."""
        return any(
            (
                *(self.comes_to_match, self.matches_no_more, self.enters, self.enters_no_more),
                *(self.leaves, self.leaves_no_more, self.migrated, self.new_mails),
                *(self.gone_mails, self.changed_mails, self.withheld, self.withheld_no_more),
            )
        )

    @property
    def accounts(self) -> set[str]:
        """Every account that the change concerns."""
        mails = [*self.new_mails, *self.gone_mails, *(item.after for item in self.changed_mails)]
        return {
            *(*self.comes_to_match, *self.matches_no_more, *self.enters, *self.enters_no_more),
            *(*self.leaves, *self.leaves_no_more, *self.migrated),
            *(mail.account_id for mail in mails),
            *(item.account_id for item in (*self.withheld, *self.withheld_no_more)),
        }


@dataclass(frozen=True)
class Side:
    """What one set of files decides."""

    variant: Variant
    result: PlanResult
    members: Mapping[str, frozenset[str]]
    """By trigger: the accounts that its audience matches."""
    stopped: tuple[Mail, ...]
    """Mails that wait in the ledger and would be stopped."""
    migrated: frozenset[tuple[str, str]]
    """Trigger and account of open enrolments that would continue by another version."""


def see(
    variant: Variant, warehouse: duckdb.DuckDBPyConnection, ledger: Connection, as_of: datetime
) -> Side:
    """Decide by one set of files, and evaluate each audience. Raises WarehouseError."""
    result = decide(
        variant.settings, warehouse, ledger, variant.triggers, as_of=as_of, is_preview=True
    )
    members = {}
    for trigger in variant.triggers:
        audience.evaluate(warehouse, trigger)
        members[trigger.name] = frozenset(audience.members(warehouse))
    return Side(variant, result, members, tuple(_stopped(ledger, result)), _migrated(result))


def compare(before: Side, after: Side, ledger: Connection) -> list[TriggerChange]:
    """Every trigger of either side, in the order of their names."""
    names = {
        *(*before.members, *after.members),
        *(*before.variant.unread, *after.variant.unread),
    }
    inside = _inside(ledger)
    return [_compare(name, before, after, inside.get(name, 0)) for name in sorted(names)]


def _compare(name: str, before: Side, after: Side, inside: int) -> TriggerChange:
    sides = (before, after)
    files = [_trigger(side, name) for side in sides]
    change = TriggerChange(name, _state(name, before, after), inside=inside)
    if all(files):
        old_file, new_file = (file for file in files if file)
        change.parts = _parts(old_file, new_file)
        if change.parts:
            change.words[f"{name}.yaml"] = old_file.text, new_file.text
        changed = _changed_mails(name, before.variant, after.variant)
        change.files = [f"{file} ({_kind(*texts)})" for file, texts in changed.items()]
        change.words |= {f"{file}.txt": texts for file, texts in changed.items()}
        if change.state == "same" and change.files:
            change.state = "changed"
    if change.state == "unreadable":
        return change
    matched, matches = (side.members.get(name, frozenset()) for side in sides)
    change.matched, change.matches = len(matched), len(matches)
    change.comes_to_match = sorted(matches - matched)
    change.matches_no_more = sorted(matched - matches)
    entered, enters = (
        {entry.account_id for entry in side.result.decisions.entries if entry.trigger == name}
        for side in sides
    )
    change.enters, change.enters_no_more = sorted(enters - entered), sorted(entered - enters)
    left_before, leaves = (
        {
            ending.account_id: ending.reason
            for ending in side.result.decisions.endings
            if ending.trigger == name
        }
        for side in sides
    )
    change.leaves = {id_: leaves[id_] for id_ in sorted(leaves.keys() - left_before.keys())}
    change.leaves_no_more = {
        id_: left_before[id_] for id_ in sorted(left_before.keys() - leaves.keys())
    }
    moved, moves = (
        {account for trigger, account in side.migrated if trigger == name} for side in sides
    )
    change.migrated = sorted(moves - moved)
    _compare_mails(change, before, after)
    _compare_withheld(change, before, after)
    return change


def _trigger(side: Side, name: str) -> Trigger | None:
    return next((trigger for trigger in side.variant.triggers if trigger.name == name), None)


def _state(name: str, before: Side, after: Side) -> str:
    old, new = _trigger(before, name), _trigger(after, name)
    if name in before.variant.unread | after.variant.unread:
        return "unreadable"
    if old is None or new is None:
        return "new" if old is None else "removed"
    return "same" if old.version == new.version else "changed"


def _parts(old: Trigger, new: Trigger) -> list[str]:
    """The keys of a trigger's file whose values differ."""
    before, after = (YamlFile(trigger.text, trigger.name).plain for trigger in (old, new))
    return sorted(key for key in {*before, *after} if before.get(key) != after.get(key))


def _kind(old: str, new: str) -> str:
    return "new" if not old else "removed" if not new else "changed"


def _changed_mails(name: str, before: Variant, after: Variant) -> dict[str, tuple[str, str]]:
    """The mail and footer files of a trigger that differ: file name, text before and after (empty
    where there is no file)."""
    texts: list[dict[str, str]] = []
    for variant in (before, after):
        folder = Templates(variant.settings.folder("email_templates"))
        files = {
            f"{step}.{locale}": path
            for (trigger, step), paths in folder.steps.items()
            if trigger == name
            for locale, path in paths.items()
        }
        files |= {f"_footer.{locale}": path for locale, path in folder.footers.items()}
        texts.append(
            {
                file: path.read_text(encoding="utf-8", errors="replace")
                for file, path in files.items()
            }
        )
    old, new = texts
    return {
        file: (old.get(file, ""), new.get(file, ""))
        for file in sorted(old | new)
        if old.get(file) != new.get(file)
    }


def _compare_mails(change: TriggerChange, before: Side, after: Side) -> None:
    old, new = (_mails(side, change.name) for side in (before, after))
    change.changed_mails = [
        pair
        for key in old.keys() & new.keys()
        if (pair := ChangedMail(old[key], new[key])).differences
    ]
    gone = [old[key] for key in old.keys() - new.keys()]
    come = [new[key] for key in new.keys() - old.keys()]
    for mail in list(come):
        same = [other for other in gone if _place(other) == _place(mail)]
        if len(same) == 1 and sum(_place(other) == _place(mail) for other in come) == 1:
            change.changed_mails.append(ChangedMail(same[0], mail))
            gone.remove(same[0])
            come.remove(mail)
    stopped, stops = (set(side.stopped) for side in (before, after))
    gone += [mail for mail in stops - stopped if mail.trigger == change.name]
    change.new_mails, change.gone_mails = sorted(come, key=_order), sorted(gone, key=_order)
    change.changed_mails.sort(key=lambda pair: _order(pair.after))


def _mails(side: Side, trigger: str) -> dict[str, Mail]:
    planned = side.result.decisions.sends
    return {send.send_id: _mail(send, send.mime) for send in planned if send.trigger == trigger}


def _mail(send: Any, mime: bytes) -> Mail:
    """A planned send, or a row of the ledger, with its bytes."""
    message = Message.from_bytes(mime)
    return Mail(
        account_id=send.account_id,
        contact_id=send.contact_id,
        to=message.to_email,
        trigger=send.trigger,
        step=send.step,
        cycle=send.cycle,
        locale=send.locale,
        not_before=send.not_before,
        subject=message.subject,
        body=message.body,
    )


def _place(mail: Mail) -> tuple[str, str, int]:
    return mail.account_id, mail.step, mail.cycle


def _order(mail: Mail) -> tuple[datetime, str, str, str]:
    return mail.not_before, mail.account_id, mail.contact_id, mail.step


def _compare_withheld(change: TriggerChange, before: Side, after: Side) -> None:
    old, new = (
        {
            (mail.account_id, mail.contact_id, mail.step): mail
            for mail in side.result.decisions.withheld
            if mail.trigger == change.name
        }
        for side in (before, after)
    )
    differ = {key for key in old | new if _reason(old.get(key)) != _reason(new.get(key))}
    change.withheld = [new[key] for key in sorted(differ & new.keys())]
    change.withheld_no_more = [old[key] for key in sorted(differ - new.keys())]


def _reason(mail: Withheld | None) -> str | None:
    return mail.reason if mail else None


# What the ledger knows. ------------------------------------------------------------------


def _stopped(ledger: Connection, result: PlanResult) -> Iterable[Mail]:
    decisions = result.decisions
    ended = {(row.account_id, row.trigger, row.cycle) for row in decisions.endings}
    refused = {row.send_id for row in decisions.withdrawals}
    if not ended and not refused:
        return
    query = (
        select(sends, messages.c.mime)
        .join(messages, messages.c.send_id == sends.c.send_id)
        .where(sends.c.state.in_(NOT_LEFT), sends.c.trigger != OWNER_LIST)
    )
    for row in ledger.execute(query):
        if row.send_id in refused or (row.account_id, row.trigger, row.cycle) in ended:
            yield _mail(row, row.mime)


def _open(ledger: Connection) -> Iterable[Row[Any]]:
    return ledger.execute(select(enrollments).where(enrollments.c.ended_at.is_(None)))


def _inside(ledger: Connection) -> dict[str, int]:
    accounts: dict[str, int] = {}
    for row in _open(ledger):
        accounts[row.trigger] = accounts.get(row.trigger, 0) + 1
    return accounts


def _migrated(result: PlanResult) -> frozenset[tuple[str, str]]:
    return frozenset(
        (migration.trigger, migration.account_id) for migration in result.decisions.migrations
    )
