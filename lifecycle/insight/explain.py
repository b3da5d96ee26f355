"""An account's story: its status, and for every trigger what was decided and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from lifecycle.authoring.files import read_to_plan
from lifecycle.consent import ConsentWords
from lifecycle.document import Document, Section, Table, counted, moment, plain, table
from lifecycle.errors import TriggerError, UnknownName, did_you_mean
from lifecycle.insight.account_runs import DecidingRuns, deciding_runs
from lifecycle.insight.condition_tree import ANSWER
from lifecycle.insight.lookup import find_account
from lifecycle.insight.trigger_story import TriggerStory
from lifecycle.ledger import account_history, approvals, replies
from lifecycle.ledger.account_history import AccountHistory
from lifecycle.ledger.store import Ledger
from lifecycle.planning import ledger_state, versions
from lifecycle.planning.decision import Pace
from lifecycle.settings import Settings
from lifecycle.triggers.condition import Outcome
from lifecycle.triggers.model import Trigger
from lifecycle.warehouse import published_marts
from lifecycle.warehouse.connection import connect_published


@dataclass(frozen=True)
class Explanation:
    """The story of one account. Times are UTC."""

    account_id: str
    settings: Settings
    account: Mapping[str, Any] | None
    """Its row of account_360; None when the CRM no longer has the account."""
    contacts: Sequence[Mapping[str, Any]]
    rejected: Sequence[Mapping[str, Any]]
    """The rejected rows of the account and of its contacts."""
    feed: Mapping[str, Any]
    history: AccountHistory
    suppressed: Mapping[str, str]
    """Suppressed address: the reason."""
    triggers: Sequence[TriggerStory]
    hold: Mapping[str, Any] | None
    """Who put the account on hold: until, since, by, why."""
    replies: Sequence[Any]
    """What came back about its mails, oldest first: rows of the ledger's `replies`."""
    runs: DecidingRuns
    """The runs that decided about the account."""

    @property
    def time_zone(self) -> str:
        """The time zone of the story: the account's."""
        return _zone(self.account, self.settings)

    def as_json(self) -> dict[str, Any]:
        """The object of `explain --json`."""
        return {
            "account_id": self.account_id,
            "account": plain(self.account) if self.account else None,
            "feed": plain(self.feed),
            "contacts": [plain(row) for row in self.contacts],
            "rejected_rows": [plain(row) for row in self.rejected],
            "suppressed": dict(self.suppressed),
            "hold": plain(self.hold) if self.hold else None,
            "replies": [
                plain({name: getattr(reply, name) for name in REPLY}) for reply in self.replies
            ],
            "triggers": [story.as_json() for story in self.triggers],
            "published_by": self.runs.published,
            "runs": [run.as_json() for run in self.runs.runs],
        }

    def as_document(self) -> Document:
        """The story for a person."""
        parts = [
            *(self._who(), self._held(), self._stands(), self._people(), self._answers()),
            self._rejected(),
        ]
        stories = [story.as_section() for story in self.triggers]
        sections = (*parts, *stories, self.runs.as_section(self.time_zone))
        return [section for section in sections if section.parts]

    def _who(self) -> Section:
        if self.account is None:
            text = "The CRM does not hold this account as of the last run."
            if self.history.triggers:
                text += " The ledger remembers its mails."
            return Section(self.account_id, (text,), "warning")
        account = self.account
        facts = [
            _fact("plan", account["plan"]),
            _fact("segment", account["segment"]),
            _fact("touch model", account["touch_model"]),
            _fact("seats", account["seats"]),
            _fact("country", account["country"]),
            f"time zone {account['time_zone']} ({_OF[account['time_zone_source']]})",
        ]
        text = ", ".join(fact for fact in facts if fact)
        parts = [f"{text[0].upper()}{text[1:]}."]
        if account["owner_name"] or account["owner_email"]:
            parts.append(f"Looked after by {account['owner_name'] or account['owner_email']}.")
        if account["purpose"]:
            parts.append(f"Bought for: {account['purpose']}")
        if account["background"]:
            parts.append(f"Background: {account['background']}")
        parts.append(f"Times below are in {self.time_zone}.")
        return Section(f"{account['name']} ({account['account_id']})", tuple(parts))

    def _held(self) -> Section:
        if self.hold is None:
            return Section("", ())
        until = moment(self.hold["until"], self.settings.company.time_zone)
        text = f"Nothing goes to it, and it enters nothing: {self.hold['by']}: {self.hold['why']}"
        return Section(f"On hold until {until}", (text,), "warning")

    def _answers(self) -> Section:
        if not self.replies:
            return Section("", ())
        rows = (
            (
                moment(reply.came_at, self.time_zone),
                reply.kind,
                f"{reply.trigger}/{reply.step or '…'}",
                reply.label or "",
                " ".join((reply.text or "").split())[:200]
                or (f"back on {reply.return_on}" if reply.return_on else ""),
                "" if reply.kind != "answer" else reply.settled_by or "nobody yet",
            )
            for reply in self.replies
        )
        columns = ("came", "what", "about", "answer", "says", "answered by")
        return Section("What came back", (table(columns, rows),))

    def _stands(self) -> Section:
        if self.account is None:
            return Section("", ())
        account = self.account
        rows = [
            ("stage", account["stage"] or "unknown", self._why_stage(account)),
            ("course", account["course"] or "unknown", ""),
            ("usage health", _score(account, "usage"), account["usage_reasons"] or ""),
            *([("", "", account["usage_change"])] if account.get("usage_change") else []),
            (
                "satisfaction",
                _score(account, "satisfaction"),
                account.get("satisfaction_reasons") or "",
            ),
            ("dormant", _truth(account["is_dormant"]), account["dormancy_reason"] or ""),
            *([("returns", _chance(account["p_return_28d"]), "")] if account["is_dormant"] else []),
            (
                "onboarding",
                account["onboarding_status"] or "unknown",
                self._why_onboarding(account),
            ),
            ("usage ladder", _step(account["ladder_step"]), ""),
            ("last active", self._day(account["last_active_at"]), ""),
        ]
        parts: list[str | Table] = [table(("", "now", "why"), rows)]
        if account["feed_status"] == "late":
            parts.append(
                f"The usage feed is late ({self.feed['reason']}): what depends on it is unknown, "
                "and nobody is judged by missing data."
            )
        else:
            parts.append("The usage feed is fresh.")
        return Section(
            f"As of {moment(self._local(account['as_of']), self.time_zone)}", tuple(parts)
        )

    def _local(self, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC).astimezone(ZoneInfo(self.time_zone)) if value else None

    def _day(self, value: date | None) -> str:
        """A day, or the day of a moment in the account's own time zone."""
        day = self._local(value) if isinstance(value, datetime) else value
        return f"{day:%Y-%m-%d}" if day else "–"

    def _why_stage(self, account: Mapping[str, Any]) -> str:
        limits = self.settings.stages
        match account["stage"]:
            case "churned":
                if account["churned_at"] is None:
                    return "the CRM says that it left"
                return f"it left on {self._day(account['churned_at'])}"
            case "renewal":
                days = account["days_to_renewal"]
                return f"renews in {counted(days, 'day')}, within {limits.renewal_days}"
            case "onboarding":
                return "no first outcome yet, and its onboarding is not over"
            case "adoption":
                return f"usage ladder below step {limits.mature_from_step}"
            case "mature":
                return f"usage ladder at step {limits.mature_from_step} or above"
        return "the usage feed is late"

    def _why_onboarding(self, account: Mapping[str, Any]) -> str:
        if account["onboarding_status"] is None:
            return "the usage feed is late"
        if account["first_outcome_at"]:
            return f"first outcome {self._day(account['first_outcome_at'])}"
        if account["onboarding_status"] == "not_started":
            return "not live yet"
        due = (
            f", due {self._day(account['onboarding_due_on'])}"
            if account["onboarding_due_on"]
            else ""
        )
        live = f"live since {self._day(account['went_live_at'])}"
        if account["went_live_at"] is None:
            live = f"created {self._day(account['created_at'])}, go-live not known"
        return f"{live}, no outcome yet{due}"

    def _people(self) -> Section:
        if self.account is None:
            return Section("", ())
        if not self.contacts:
            return Section("Contacts", ("It has no contact: nobody can be mailed.",), "warning")
        rows = []
        for contact in self.contacts:
            address = contact["email_normalized"]
            left_at = contact["address_unsubscribed_at"]
            if address in self.suppressed:
                mailable = f"no: {self.suppressed[address]}"
            elif left_at and contact["unsubscribed_at"]:
                mailable = f"no: unsubscribed {self._day(contact['unsubscribed_at'])}"
            elif left_at:
                mailable = f"no: unsubscribed {self._day(left_at)}, as another contact"
            else:
                mailable = self._consent(contact["consent_basis"])
            rows.append((contact["name"], contact["role"], contact["locale"], address, mailable))
        return Section("Contacts", (table(("name", "role", "locale", "address", "mail"), rows),))

    def _consent(self, basis: str | None) -> str:
        if not basis:
            return "no: gave no consent"
        counts = ConsentWords(self.settings.consent.bases).count(basis)
        return "yes" if counts else f'no: "{basis}" is no consent by [consent] bases'

    def _rejected(self) -> Section:
        if not self.rejected:
            return Section("", ())
        columns = ("table_name", "file", "row_number", "column_name", "reason")
        rows = ([row[name] for name in columns] for row in self.rejected)
        rejected_rows = table(("table", "file", "row", "column", "reason"), rows)
        text = "Rows of it that could not be used; in a spreadsheet with a header one further:"
        return Section("Rejected rows", (text, rejected_rows), "warning")


def explain(
    settings: Settings,
    ledger: Ledger,
    name_or_id: str,
    *,
    only: str | None = None,
    as_of: datetime | None = None,
) -> Explanation:
    """Build the story of the account with that id or name.

    `only` names one trigger. `as_of` is the delivery clock; now where left out.

    Raises UnknownName when no account or several accounts match, and for a trigger without a file
    that the account never entered; WarehouseError when nothing was published yet; TriggerError
    where the models' own YAML cannot be read.
    """
    files = read_to_plan(settings)
    with connect_published(settings) as warehouse:
        account_id = find_account(warehouse, ledger, name_or_id)
        account = published_marts.account(warehouse, account_id)
        contacts = published_marts.contacts(warehouse, account_id)
        rejected = published_marts.rejected(warehouse, account_id)
        feed = published_marts.feed(warehouse)
        published_by, now = published_marts.run_id(warehouse), published_marts.as_of(warehouse)
    past = AccountHistory(ledger, account_id)
    waiting = {
        (row.trigger, row.version): row.waiting_for for row in account_history.waiting(ledger)
    }
    stops, holds = (
        account_history.stops(ledger),
        account_history.holds(ledger, as_of or datetime.now(UTC)),
    )
    unapproved = approvals.unapproved(ledger)
    people = {row["contact_id"]: row["name"] or row["email_normalized"] for row in contacts}
    readable = {trigger.name: trigger for trigger in files.readable}
    names = list(dict.fromkeys((*readable, *files.broken, *sorted(past.triggers))))
    if only is not None and only not in names:
        hint = did_you_mean(only, names) or f"there are: {', '.join(sorted(names)) or 'none'}"
        raise UnknownName(f"no trigger {only!r}; {hint}")
    return Explanation(
        account_id=account_id,
        settings=settings,
        account=account,
        contacts=contacts,
        rejected=rejected,
        feed=feed,
        history=past,
        suppressed=account_history.suppressed(
            ledger,
            [row["email_normalized"] for row in contacts],
            settings.privacy.erasure_key.get_secret_value(),
        ),
        triggers=[
            TriggerStory(
                name=name,
                trigger=readable.get(name),
                **_judged(readable.get(name), account, contacts, _zone(account, settings)),
                history=past,
                people=people,
                waiting_for=versions.in_words(files.broken.get(name, ()))
                or waiting.get((name, _version(name, readable.get(name), past))),
                is_broken=name in files.broken,
                stop=stops.get(name),
                unapproved=unapproved,
                time_zone=_zone(account, settings),
                now=now,
                pace=Pace.of(settings.plan),
                versions=_versions(ledger, settings, name, readable.get(name)),
                is_asked_for=only is not None,
            )
            for name in names
            if only in (None, name)
        ],
        hold=holds.get(account_id),
        replies=replies.of_account(ledger, account_id),
        runs=deciding_runs(ledger, past.run_ids(only), published_by),
    )


REPLY = ("kind", "came_at", "trigger", "step", "label", "text", "return_on", "settled_by")
"""What is told of a message that came back."""


def _judged(
    trigger: Trigger | None,
    account: Mapping[str, Any] | None,
    contacts: Sequence[Mapping[str, Any]],
    time_zone: str,
) -> dict[str, Any]:
    """Evaluate a trigger's conditions on the account: rules, recipients, kept_out, matches."""
    rules: dict[str, Outcome] = {}
    recipients: dict[str, Outcome] = {}
    kept_out, matches = "", None
    if trigger is not None and account is not None:
        rules = {
            key: condition.tree(account, time_zone) for key, condition in trigger.placed_conditions
        }
        recipients = {
            row["contact_id"]: trigger.recipients.tree(row, time_zone) for row in contacts
        }
        matches = rules["audience"].holds
        if account["is_churned"] and not trigger.include_churned:
            kept_out, matches = "a churned account matches no trigger", False
        elif account["touch_model"] == "high" and not trigger.include_high_touch:
            kept_out = "a high-touch account is its owner's: it matches no trigger"
            matches = False
    elif trigger is not None:
        kept_out, matches = "the CRM does not hold the account", False
    return {"rules": rules, "recipients": recipients, "kept_out": kept_out, "matches": matches}


def _versions(
    ledger: Ledger, settings: Settings, name: str, trigger: Trigger | None
) -> dict[str, tuple[Trigger | None, str | None]]:
    file = trigger.file if trigger else settings.folder("triggers") / f"{name}.yaml"
    with ledger.read() as connection:
        known = ledger_state.known_versions(connection, name)
    read: dict[str, tuple[Trigger | None, str | None]] = {}
    for version, row in known.items():
        try:
            read[version] = versions.read(row, file), row.git_commit
        except TriggerError:
            read[version] = None, row.git_commit
    return read


def _version(name: str, trigger: Trigger | None, past: AccountHistory) -> str:
    """The trigger version that the account follows, or with which it would enter."""
    inside = [row for row in past.enrollments if row.trigger == name and row.ended_at is None]
    return inside[-1].trigger_version if inside else trigger.version if trigger else ""


def _zone(account: Mapping[str, Any] | None, settings: Settings) -> str:
    return str(account["time_zone"]) if account else settings.company.time_zone


_OF = {
    "account": "of the account",
    "country": "of the country",
    "zones": "one of several of its country: mail goes in hours that all of them share",
    "company": "of the company",
    "unknown": "of the company: nobody can tell its country, so mail waits",
}
"""What each `time_zone_source` means."""


def _fact(label: str, value: Any) -> str:
    return f"{label} {value}" if value is not None else ""


def _truth(value: bool | None) -> str:
    return ANSWER[value]


def _score(account: Mapping[str, Any], which: str) -> str:
    value, band = account[f"{which}_health"], account[f"{which}_band"]
    return "unknown" if value is None else f"{value:.0f} of 100, {band}"


def _chance(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{'under 1%' if value < 0.01 else f'{value:.0%}'} within 28 days"


def _step(value: int | None) -> str:
    return "unknown" if value is None else f"step {value} of 4"
