"""The mails of one enrolment's steps: decided, checked against the caps, rendered.

Each reader goes through the steps by themselves. A mail that has not left is decided anew by
each run: its moment, its reader's address, its words, and whether it goes at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import Connection
from sqlalchemy import Row as SqlRow

from lifecycle.caps import MailCount, local_day
from lifecycle.errors import TemplateError
from lifecycle.ledger import spacing
from lifecycle.ledger.decisions import KeptBack, Move, PlannedSend, StepFate, Withdrawal
from lifecycle.ledger.tables import MAILED, State, send_identity
from lifecycle.mail.render import Renderer
from lifecycle.planning import ledger_state
from lifecycle.planning.audience import Row
from lifecycle.planning.decision import (
    MAY_PASS,
    Departure,
    Enrolment,
    Pace,
    Reason,
    StepDecision,
    decide_step,
    timing,
    without_a_civil_hour,
)
from lifecycle.planning.plan_result import PlanResult
from lifecycle.planning.readers import Going, Ineligibility
from lifecycle.planning.same_step import SameSteps
from lifecycle.triggers.model import Step, Trigger


@dataclass(frozen=True)
class Inside:
    """An enrolment and whom it is about, as the marts and the ledger have them now."""

    trigger: Trigger
    enrolment: Enrolment
    account: Row
    """Its row of account_360, with step_0, … (`audience.accounts`)."""
    readers: Sequence[Going]
    renderer: Renderer
    """Of the mails that its version of the trigger has."""
    decided: Mapping[str, SqlRow[Any]]
    """By step: its row of `steps`."""
    sent: Sequence[SqlRow[Any]] = ()
    """All its mails that the ledger knows."""
    is_stopped: bool = False
    """A person stopped its trigger or its account: only what is planned is decided anew, because
    it may leave as soon as the stop ends."""

    @property
    def skipped(self) -> Collection[str]:
        """The steps that were decided against, for all readers."""
        return {step for step, row in self.decided.items() if row.fate == "skipped"}


class Steps:
    """Decides the steps of enrolments, one after the other, into one result.

    Every mail that it plans counts for the caps of those after it.
    """

    def __init__(
        self,
        ledger: Connection,
        result: PlanResult,
        *,
        now: datetime,
        ahead: timedelta,
        pace: Pace,
        same_step_again_days: int = 30,
    ) -> None:
        self._result = result
        self._now = now
        self._ahead = ahead
        self._pace = pace
        self._ledger = ledger
        self._by_address: MailCount[str] = MailCount()
        self._by_account: MailCount[str] = MailCount()
        self._recalled: set[tuple[str, str]] = set()
        self._same_step_again_days = same_step_again_days
        self._same_steps = SameSteps()
        self.looked_at: set[str] = set()
        """The mails of earlier runs that it decided anew."""

    def recall(
        self, trigger: Trigger, people: Mapping[str, Sequence[Row]], accounts: Mapping[str, Row]
    ) -> None:
        """Look up the mails that the trigger's caps count for these accounts and their people.

        Before `decide` is asked about them; what was looked up once is remembered.
        """
        zone_of: dict[str, str] = {}
        for account_id, contacts in people.items():
            if account_id in accounts:
                for person in contacts:
                    zone_of[person["email_normalized"]] = accounts[account_id]["time_zone"]
        if trigger.not_again_days(self._same_step_again_days) is not None:
            self._same_steps.recall(self._ledger, trigger.name, zone_of)
        if trigger.caps.contact:
            self._look_up("address", zone_of, self._by_address)
        if trigger.caps.account:
            zones = {account_id: row["time_zone"] for account_id, row in accounts.items()}
            self._look_up("account_id", zones, self._by_account)

    def _look_up(
        self,
        holder: Literal["address", "account_id"],
        zone_of: Mapping[str, str],
        count: MailCount[str],
    ) -> None:
        new = [key for key in zone_of if (holder, key) not in self._recalled]
        self._recalled.update((holder, key) for key in new)
        for key, at in ledger_state.mails(self._ledger, holder, new, self._now):
            count.add(key, local_day(at, zone_of[key]))

    def decide(self, inside: Inside) -> datetime | None:
        """Decide the steps that come due; returns when the next one may go, None for none."""
        if why := without_a_civil_hour(inside.trigger, inside.enrolment.place, self._now):
            self._result.waits_for_a_zone(inside.trigger.name, inside.account, why)
            self._keep_back(inside, f"{Reason.NO_CIVIL_HOUR}: {why}")
            return self._now
        outcome = _Outcome()
        moments = [self._go_through(inside, reader, outcome) for reader in self._singly(inside)]
        self._settle(inside, outcome)
        return min((at for at in moments if at is not None), default=None)

    def _singly(self, inside: Inside) -> Iterator[Going]:
        """The readers; of those with one address the first, who gets the mails of all of them."""
        addresses: set[str] = set()
        for reader in inside.readers:
            address = reader.person["email_normalized"] if reader.person else None
            if address is None or address not in addresses:
                yield reader
            else:
                why = "another contact of the account has its address"
                against = Reason.SAME_STEP_RECENTLY, why
                self._withhold(inside, against, reader.contact_id, "")
                for mail in reader.mails.not_left.values():
                    self.looked_at.add(mail.send_id)
                    self._withdraw(mail, State.SUPPRESSED, ": ".join(against))
            if address is not None:
                addresses.add(address)

    def _go_through(self, inside: Inside, reader: Going, outcome: _Outcome) -> datetime | None:
        """Decide one reader's steps in order, until one has to wait.

        A step waits until the one before it has left, or will have; so none overtakes another.
        """
        previous: Departure | None = None
        mails = reader.mails
        for number, step in enumerate(inside.trigger.steps):
            old = mails.not_left.get(step.id)
            if old is not None:
                self.looked_at.add(old.send_id)
            elif step.id in mails.left:
                previous = Departure(step, *mails.left[step.id])
                continue
            elif step.id in mails.in_doubt:
                outcome.may_still_get(inside.trigger.steps[number:])
                return self._now
            elif step.id in mails.settled or step.id in inside.skipped:
                continue
            elif inside.is_stopped:
                outcome.may_still_get(inside.trigger.steps[number:])
                return self._now
            decision = decide_step(
                step,
                timing(inside.trigger, step, inside.enrolment, previous, self._now, self._pace),
                next_run=self._now + self._ahead,
                holds=inside.account[f"step_{number}"],
            )
            if decision.action == "wait" and old is None:
                outcome.may_still_get(inside.trigger.steps[number:])
                return decision.timing.not_before
            if decision.action == "skip":
                self._skip(inside, reader, decision, old, outcome)
                continue
            mail, against = self._mail(inside, reader, decision, previous, outcome)
            if mail is not None:
                self._take(inside, mail, old, outcome)
                previous = Departure(step, mail.not_before, mail.not_before, mail.send_id)
                continue
            assert against is not None
            self._withhold(inside, against, reader.contact_id, step.id)
            if against[0] in MAY_PASS:
                if old is not None:
                    kept = KeptBack(old.send_id, ": ".join(against))
                    self._result.decisions.kept_back.append(kept)
                outcome.may_still_get(inside.trigger.steps[number:])
                return self._now  # it may go later: the next run tries again
            if old is not None:
                self._withdraw(old, State.SUPPRESSED, ": ".join(against))
            outcome.against.setdefault(step.id, (decision, against[0]))
            if reader.person and reader.person["email_normalized"] in outcome.reached[step.id]:
                return None  # the person's mail of it, as another contact, has not left yet
        return None

    def _skip(
        self,
        inside: Inside,
        reader: Going,
        decision: StepDecision,
        old: SqlRow[Any] | None,
        outcome: _Outcome,
    ) -> None:
        assert decision.reason is not None
        step = decision.step.id
        if old is not None:
            is_late = decision.reason is Reason.LATE
            state = State.EXPIRED if is_late else State.CANCELLED
            self._withdraw(old, state, f"{decision.reason}: {decision.detail}")
        against = decision.reason, decision.detail
        if reader.against is not None and decision.reason is Reason.LATE:
            against = decision.reason, f"{decision.detail}; {': '.join(reader.against)}"
        has_it = step in outcome.planned or any(
            mail.step == step and mail.state in MAILED for mail in inside.sent
        )
        if has_it or step not in outcome.against:
            self._withhold(inside, against, reader.contact_id if has_it else "", step)
        outcome.against.setdefault(step, (decision, decision.reason))

    def _withhold(self, inside: Inside, against: Ineligibility, contact_id: str, step: str) -> None:
        self._result.withhold(
            inside.trigger.name, inside.enrolment.account_id, *against, contact_id, step
        )

    def _keep_back(self, inside: Inside, why: str) -> None:
        for reader in inside.readers:
            for mail in reader.mails.not_left.values():
                self.looked_at.add(mail.send_id)
                self._result.decisions.kept_back.append(KeptBack(mail.send_id, why))

    def _withdraw(self, mail: SqlRow[Any], state: State, detail: str) -> None:
        self._result.decisions.withdrawals.append(Withdrawal(mail.send_id, state, detail))
        self.is_withdrawn(mail)

    def is_withdrawn(self, mail: SqlRow[Any]) -> None:
        """Hear of a mail that had not left and will not: its step may reach the address through
        another account."""
        self._same_steps.withdraw((mail.trigger, mail.address, mail.step), mail.account_id)

    def _take(
        self, inside: Inside, mail: PlannedSend, old: SqlRow[Any] | None, outcome: _Outcome
    ) -> None:
        """Plan a mail, or what has not left of an earlier plan anew, and count it."""
        if old is None:
            self._result.decisions.sends.append(mail)
        else:
            if old.attempts:  # the provider asked for this pause
                later = max(mail.not_before, old.not_before)
                mail = replace(mail, not_before=later)
            # Every attempt at a mail has the same bytes, but for one to another address.
            same_bytes = bool(old.attempts) and old.address == mail.address
            move = Move(mail, _what_moved(old, mail), rewritten=not same_bytes)
            self._result.decisions.moves.append(move)
        outcome.planned.setdefault(mail.step, mail)
        outcome.reached[mail.step].add(mail.address)
        key = inside.trigger.name, mail.address, mail.step
        self._same_steps.add(key, mail.account_id, mail.not_before)
        day = local_day(mail.not_before, mail.time_zone)
        self._by_address.add(mail.address, day)
        self._by_account.add(mail.account_id, day)

    def _same_step(
        self,
        inside: Inside,
        decision: StepDecision,
        address: str,
        contact_id: str,
        outcome: _Outcome,
    ) -> Ineligibility | None:
        """Why a person who has a step's mail already does not get it once more, or None."""
        step = decision.step.id
        has_it = address in outcome.reached[step] or any(
            mail.step == step
            and mail.address == address
            and mail.contact_id != contact_id
            and mail.state in MAILED
            for mail in inside.sent
        )
        if has_it:
            return Reason.SAME_STEP_RECENTLY, "another contact of the account has this address"
        days = inside.trigger.not_again_days(self._same_step_again_days)
        at = decision.timing.not_before or self._now
        key = inside.trigger.name, address, step
        other = days is not None and self._same_steps.through_another(
            key, inside.enrolment.account_id, at, days
        )
        if not other:
            return None
        account_id, has_left = other
        if not has_left:
            return Reason.SAME_STEP_UNDER_WAY, f"{account_id}'s mail of it has not left"
        span = f"in the last {days} days" if days else "already"
        return Reason.SAME_STEP_RECENTLY, f"this address got the step {span} through {account_id}"

    def _mail(
        self,
        inside: Inside,
        reader: Going,
        decision: StepDecision,
        previous: Departure | None,
        outcome: _Outcome,
    ) -> tuple[PlannedSend | None, Ineligibility | None]:
        """The mail of a step, or why the reader does not get it now."""
        if reader.against is not None:
            return None, reader.against
        person = reader.person
        assert person is not None
        trigger, enrolment, account = inside.trigger, inside.enrolment, inside.account
        step, when = decision.step, decision.timing
        assert when.opening is not None
        opening = when.opening
        address = person["email_normalized"]
        if against := self._same_step(inside, decision, address, reader.contact_id, outcome):
            return None, against
        day = local_day(opening.not_before, enrolment.place.time_zone)
        caps = trigger.caps
        for count, key, cap, whom in (
            (self._by_address, address, caps.contact, "this address"),
            (self._by_account, enrolment.account_id, caps.account, "this account"),
        ):
            if not count.allows(key, day, cap):
                return None, (Reason.CAPPED, f"{whom} may get {cap}")
        send_id = send_identity(
            enrolment.account_id, person["contact_id"], trigger.name, step.id, enrolment.cycle
        )
        try:
            locale, source = inside.renderer.choose_locale(
                trigger.name, step.id, person["locale"], account["locale"], trigger.locale
            )
            message = inside.renderer.render(
                send_id=send_id,
                trigger=trigger.name,
                step=step.id,
                locale=locale,
                account=account,
                contact=person,
                date=opening.not_before,
            )
        except TemplateError as error:
            return None, (Reason.TEMPLATE_ERROR, str(error))
        after = previous if previous and previous.send_id else None
        planned = PlannedSend(
            send_id=send_id,
            account_id=enrolment.account_id,
            contact_id=person["contact_id"],
            trigger=trigger.name,
            step=step.id,
            cycle=enrolment.cycle,
            trigger_version=trigger.version,
            address=address,
            locale=locale,
            locale_source=source,
            priority=trigger.priority,
            account_cap=str(caps.account) if caps.account else None,
            contact_cap=str(caps.contact) if caps.contact else None,
            not_again_days=trigger.not_again_days(self._same_step_again_days),
            due_at=when.due_at,
            not_before=opening.not_before,
            closes_at=opening.closes_at,
            expires_at=when.expires_at,
            time_zone=enrolment.place.time_zone,
            after_send=after.send_id if after else None,
            after_distance=_distance(after, step.after.unit, when.due_at, enrolment)
            if after
            else None,
            mime=message.as_bytes(),
        )
        return planned, None

    def _settle(self, inside: Inside, outcome: _Outcome) -> None:
        """Write down each step that is decided: planned for a reader, or for nobody."""
        enrolment = inside.enrolment
        has_mail = {mail.step for mail in inside.sent if mail.state in MAILED}
        fates: list[StepFate] = []
        for step, mail in outcome.planned.items():
            fates.append(self._fate(enrolment, step, "planned", None, mail.due_at, mail.not_before))
        for step, (decision, reason) in outcome.against.items():
            if step not in outcome.planned and step not in outcome.waits and step not in has_mail:
                due_at = decision.timing.due_at
                fates.append(self._fate(enrolment, step, "skipped", reason, due_at, None))
        for fate in fates:
            old = inside.decided.get(fate.step)
            now = (fate.fate, fate.reason, fate.due_at, fate.not_before)
            if old is None or (old.fate, old.reason, old.due_at, old.not_before) != now:
                self._result.decisions.steps.append(fate)

    @staticmethod
    def _fate(
        enrolment: Enrolment,
        step: str,
        fate: str,
        reason: Reason | None,
        due_at: datetime,
        not_before: datetime | None,
    ) -> StepFate:
        return StepFate(
            account_id=enrolment.account_id,
            trigger=enrolment.trigger,
            cycle=enrolment.cycle,
            step=step,
            fate=fate,
            reason=reason,
            due_at=due_at,
            not_before=not_before,
        )


class _Outcome:
    """What was decided about one enrolment's steps, over all its readers."""

    def __init__(self) -> None:
        self.planned: dict[str, PlannedSend] = {}
        """By step: the first mail of it."""
        self.reached: defaultdict[str, set[str]] = defaultdict(set)
        """By step: the addresses that get it."""
        self.against: dict[str, tuple[StepDecision, Reason]] = {}
        """By step: why a reader does not get it, the first one."""
        self.waits: set[str] = set()
        """Steps that a reader may still get."""

    def may_still_get(self, steps: Iterable[Step]) -> None:
        """A reader waits: none of these is decided against for all."""
        self.waits.update(step.id for step in steps)


def _what_moved(old: SqlRow[Any], new: PlannedSend) -> str | None:
    moved = []
    if old.not_before != new.not_before:
        moved.append(f"moved to {new.not_before:%Y-%m-%d %H:%M} UTC")
    if old.address != new.address:
        moved.append("its reader has another address")
    return ", ".join(moved) or None


def _distance(previous: Departure, unit: str, due_at: datetime, enrolment: Enrolment) -> str:
    """What both mails keep between each other, should the first leave later than expected."""
    if "h" in (previous.step.after.unit, unit):
        return spacing.distance(None, max(due_at - previous.at, timedelta()))
    zone = ZoneInfo(enrolment.place.time_zone)
    days = due_at.astimezone(zone).date() - previous.at.astimezone(zone).date()
    return spacing.distance(max(days.days, 0), timedelta())
