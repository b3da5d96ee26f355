"""The mails of one enrolment's steps: decided, checked against the caps, rendered."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Connection

from lifecycle.caps import MailCount
from lifecycle.errors import TemplateError
from lifecycle.ledger.decisions import PlannedSend, StepFate
from lifecycle.ledger.tables import send_identity
from lifecycle.mail.render import Renderer
from lifecycle.planning import ledger_state
from lifecycle.planning.audience import Row
from lifecycle.planning.decision import (
    MAY_PASS,
    Enrolment,
    Reason,
    StepDecision,
    decide_steps,
    without_a_civil_hour,
)
from lifecycle.planning.plan_result import PlanResult
from lifecycle.planning.recipients import People
from lifecycle.planning.same_step import SameSteps
from lifecycle.triggers.model import Trigger

Objection = tuple[Reason, str]


@dataclass(frozen=True)
class Inside:
    """An enrolment and whom it is about, as the marts and the ledger have them now."""

    trigger: Trigger
    enrolment: Enrolment
    account: Row
    """Its row of account_360, with step_0, … (`audience.accounts`)."""
    people: Mapping[str, Row]
    """The account's contacts, by id."""
    chosen: Sequence[str]
    """The contacts that were chosen when it entered."""
    renderer: Renderer
    """Of the mails that its version of the trigger has."""


class Steps:
    """Decides the steps of enrolments, one after the other, into one result.

    Every mail that it plans counts for the caps of those after it.
    """

    def __init__(
        self,
        ledger: Connection,
        people: People,
        result: PlanResult,
        *,
        now: datetime,
        ahead: timedelta,
        spread: timedelta,
        same_step_again_days: int = 30,
    ) -> None:
        self._people = people
        self._result = result
        self._now = now
        self._ahead = ahead
        self._spread = spread
        self._ledger = ledger
        self._by_address, self._by_account = MailCount(), MailCount()
        self._recalled: set[tuple[str, str]] = set()
        self._same_step_again_days = same_step_again_days
        self._same_steps = SameSteps()

    def recall(self, trigger: Trigger, people: Mapping[str, Sequence[Row]]) -> None:
        """Look up the mails that the trigger's caps count for these accounts and their people.

        Before `decide` is asked about them; what was looked up once is remembered.
        """
        addresses = {one["email_normalized"] for some in people.values() for one in some}
        if trigger.not_again_days(self._same_step_again_days) is not None:
            self._same_steps.recall(self._ledger, trigger.name, addresses)
        if trigger.caps.contact:
            self._look_up("address", addresses, self._by_address)
        if trigger.caps.account:
            self._look_up("account_id", people, self._by_account)

    def _look_up(
        self, holder: Literal["address", "account_id"], keys: Iterable[str], count: MailCount
    ) -> None:
        new = [key for key in keys if (holder, key) not in self._recalled]
        self._recalled.update((holder, key) for key in new)
        for key, at in ledger_state.mails(self._ledger, holder, new, self._now):
            count.add(key, at)

    def decide(self, inside: Inside) -> datetime | None:
        """Decide the steps that come due; returns when the next one may go, None for none."""
        trigger, enrolment = inside.trigger, inside.enrolment
        if why := without_a_civil_hour(trigger, enrolment.place, self._now):
            self._result.waits_for_a_zone(trigger.name, inside.account, why)
            return self._now
        holds = {
            step.id: inside.account[f"step_{number}"] for number, step in enumerate(trigger.steps)
        }
        for decision in decide_steps(
            trigger,
            enrolment,
            now=self._now,
            ahead=self._ahead,
            holds=holds,
            spread=self._spread,
        ):
            if decision.action == "wait":
                return decision.timing.not_before
            if decision.action == "skip":
                assert decision.reason is not None
                self._result.withhold(
                    trigger.name,
                    enrolment.account_id,
                    decision.reason,
                    decision.detail,
                    step=decision.step.id,
                )
                self._settle(enrolment, decision, [])
                continue
            planned, put_off = self._mails(inside, decision)
            if put_off and not planned:
                return self._now  # nothing went, and it may go later: the next run tries again
            self._result.decisions.sends.extend(planned)
            self._settle(enrolment, decision, planned)
        return None

    def _mails(self, inside: Inside, decision: StepDecision) -> tuple[list[PlannedSend], bool]:
        """The mails of one step, and whether any was put off for a reason that may pass."""
        planned: list[PlannedSend] = []
        put_off = False
        step = decision.step.id
        reached: set[str] = set()
        for contact_id in inside.chosen:
            person = inside.people.get(contact_id)
            against = self._people.objection_now(inside.trigger, contact_id, person)
            if against is None and person is not None:
                against = self._same_step(inside, step, decision, person, reached)
            if against is None and person is not None:
                mail, against = self._mail(inside, decision, person)
                if mail is not None:
                    planned.append(mail)
                    reached.add(mail.address)
                    key = inside.trigger.name, mail.address, step
                    self._same_steps.add(key, mail.account_id, mail.not_before)
                    self._by_address.add(mail.address, mail.not_before)
                    self._by_account.add(mail.account_id, mail.not_before)
                else:
                    put_off = True
            if against is not None:
                put_off |= against[0] in MAY_PASS
                self._result.withhold(
                    inside.trigger.name,
                    inside.enrolment.account_id,
                    *against,
                    contact_id,
                    decision.step.id,
                )
        return planned, put_off

    def _same_step(
        self,
        inside: Inside,
        step: str,
        decision: StepDecision,
        person: Row,
        reached: Collection[str],
    ) -> Objection | None:
        """Why a person who has a step's mail already does not get it once more, or None."""
        address = person["email_normalized"]
        if address in reached:
            told = "another contact of the account has this address"
            return Reason.SAME_STEP_RECENTLY, told
        days = inside.trigger.not_again_days(self._same_step_again_days)
        at = decision.timing.not_before or self._now
        key = inside.trigger.name, address, step
        other = days is not None and self._same_steps.through_another(
            key, inside.enrolment.account_id, at, days
        )
        if not other:
            return None
        span = f"in the last {days} days" if days else "already"
        return Reason.SAME_STEP_RECENTLY, f"this address got the step {span} through {other}"

    def _mail(
        self, inside: Inside, decision: StepDecision, person: Row
    ) -> tuple[PlannedSend | None, Objection | None]:
        trigger, enrolment, account = inside.trigger, inside.enrolment, inside.account
        step, when = decision.step, decision.timing
        assert when.opening is not None
        opening = when.opening
        address = person["email_normalized"]
        caps = trigger.caps
        for count, key, cap, whom in (
            (self._by_address, address, caps.contact, "this address"),
            (self._by_account, enrolment.account_id, caps.account, "this account"),
        ):
            if not count.allows(key, opening.not_before, cap):
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
            mime=message.as_bytes(),
        )
        return planned, None

    def _settle(
        self, enrolment: Enrolment, decision: StepDecision, planned: Sequence[PlannedSend]
    ) -> None:
        self._result.decisions.steps.append(
            StepFate(
                account_id=enrolment.account_id,
                trigger=enrolment.trigger,
                cycle=enrolment.cycle,
                step=decision.step.id,
                fate="planned" if planned else "skipped",
                reason=decision.reason,
                due_at=decision.timing.due_at,
                not_before=decision.timing.not_before if planned else None,
            )
        )
