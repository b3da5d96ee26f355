"""The effect of a trigger's mails: mailed accounts beside held-out accounts, with a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import duckdb

from lifecycle.document import Document, Section, Table, counted, moment, table
from lifecycle.errors import UnknownName, did_you_mean
from lifecycle.evaluation.effect_statistics import (
    CHANCE,
    Outcomes,
    accounts_needed,
    confidence_sequence,
    is_difference,
)
from lifecycle.settings import Settings
from lifecycle.triggers.folder import names, read_folder
from lifecycle.warehouse import published_marts
from lifecycle.warehouse.connection import connect_published

SHOWN_OF_A_VERSION = 8
"""Digits of a version's hash that a person sees."""
FEW = 30
"""With fewer accounts in the holdout, both groups together give the usual share of goals."""


@dataclass(frozen=True)
class VersionEffect:
    """The effect of one version of a trigger, as of the published run."""

    row: Mapping[str, Any]
    """Its row of the mart trigger_effect."""
    as_of: datetime
    worth_seeing: float
    """The smallest difference that matters, as a share."""

    @property
    def trigger(self) -> str:
        """The trigger's name."""
        return str(self.row["trigger_name"])

    @property
    def version(self) -> str:
        """SHA-256 of the trigger file."""
        return str(self.row["trigger_version"])

    @property
    def outcomes(self) -> Outcomes:
        """The accounts whose time to meet the goal is over."""
        counts = ("reached", "goals_reached", "compared_with", "goals_held_out")
        return Outcomes(*(self.row[name] for name in counts))

    @cached_property
    def sequence(self) -> tuple[float, float]:
        """The 95 % confidence sequence of the difference."""
        low, high = confidence_sequence(self.outcomes)
        return float(low), float(high)

    @cached_property
    def unmeasured(self) -> str:
        """Why there is nothing to compare, or an empty string."""
        if self.row["last_goal_until"] is None:
            return "its file names no goal"
        return "" if self.row["entries_held_out"] else "nobody is held out to compare with"

    @cached_property
    def needed(self) -> int | None:
        """How many more accounts are needed to detect the smallest relevant difference. 0: there
        are enough. None: more than can be expected."""
        accounts, met = self.row["compared_with"], self.row["goals_held_out"]
        if accounts < FEW:
            accounts, met = accounts + self.row["reached"], met + self.row["goals_reached"]
        usual = (met + 0.5) / (accounts + 1)
        share = self.row["entries_held_out"] / self.row["enrolled"]
        if share == 1:
            return None
        total = accounts_needed(usual, self.worth_seeing, share)
        return None if total is None else max(0, total - self._came_through)

    @property
    def _came_through(self) -> int:
        return int(self.row["reached"] + self.row["compared_with"])

    @property
    def has_a_pace(self) -> bool:
        """Whether 28 days have gone since the first day, when all who waited came at once."""
        return self.as_of - _utc(self.row["first_enrolled_at"]) > timedelta(days=28)

    @cached_property
    def days_needed(self) -> int | None:
        """How many days that takes at the rate of the last 28 days. None: no account came, or 28
        days have not passed yet."""
        if not self.needed:
            return self.needed
        time_left = max(timedelta(), _utc(self.row["last_goal_until"]) - self.as_of)
        to_enter = self.needed - self.row["still_in_time"]
        entering = timedelta()
        if to_enter > 0:
            if not (self.has_a_pace and self.row["new_in_28d"]):
                return None
            entering = timedelta(days=to_enter * 28 / self.row["new_in_28d"])
        return math.ceil((entering + time_left) / timedelta(days=1))

    @cached_property
    def verdict(self) -> str:
        """helps, hurts, no difference seen yet, not enough data yet, or not measured."""
        if self.unmeasured:
            return "not measured"
        if is_difference(self.outcomes):
            return "helps" if self.sequence[0] > 0 else "hurts"
        return "no difference seen yet" if self.needed == 0 else "not enough data yet"

    def as_json(self) -> dict[str, Any]:
        """The version's item of `effect --json`; shares, and differences of shares."""
        low, high = self.sequence
        return {
            "trigger": self.trigger,
            "version": self.version,
            "first_enrolled_at": _utc(self.row["first_enrolled_at"]).isoformat(),
            "reached": {
                "accounts": self.row["reached"],
                "goals": self.row["goals_reached"],
            },
            "held_out": {
                "accounts": self.row["compared_with"],
                "goals": self.row["goals_held_out"],
            },
            "still_in_time": self.row["still_in_time"],
            "difference": self.row["effect"],
            "one_look": [self.row["effect_low"], self.row["effect_high"]],
            "every_day": [low, high],
            "verdict": self.verdict,
            "because": self.because(),
            "accounts_needed": None if self.unmeasured else self.needed,
            "days_needed": None if self.unmeasured else self.days_needed,
        }

    def because(self) -> str:
        """The verdict's reason in one or two sentences."""
        points = f"{self.worth_seeing * 100:g} points"
        if self.unmeasured:
            return f"{self.unmeasured[0].upper()}{self.unmeasured[1:]}."
        match self.verdict:
            case "helps":
                return "More accounts meet the goal with its mails than without."
            case "hurts":
                return "Fewer accounts meet the goal with its mails than without."
            case "no difference seen yet":
                return (
                    f"A difference of {points} would have been seen by now "
                    f"in {CHANCE:.0%} of cases."
                )
        if self.needed is None:
            return f"A difference of {points} cannot be seen with groups of these sizes."
        text = f"About {self.needed:,} more accounts"
        if self.days_needed is None and not self.has_a_pace:
            text += " (how long that takes can be told 28 days after the first entered)"
        elif self.days_needed is None:
            text += " (at the present pace, none in 28 days, they never come)"
        else:
            text += f" (about {counted(self.days_needed, 'day')} at the present pace)"
        return f"{text} are needed to see a difference of {points}."

    def as_section(self, time_zone: str, *, is_present: bool) -> Section:
        """The version for a person."""
        which = "the present version" if is_present else "an earlier version"
        title = f"{self.trigger} {self.version[:SHOWN_OF_A_VERSION]} ({which}): {self.verdict}"
        tone = {"helps": "good", "hurts": "bad"}.get(self.verdict, "")
        since = moment(_utc(self.row["first_enrolled_at"]), time_zone)
        parts: list[str | Table] = [f"Entered since {since}: {self.row['enrolled']:,} times."]
        if not self.unmeasured:
            groups = (
                ("reached", self.row["reached"], self.row["goals_reached"]),
                ("held out", self.row["compared_with"], self.row["goals_held_out"]),
            )
            rows = ((name, n, goals, _percent(goals, n)) for name, n, goals in groups)
            parts.append(table(("", "accounts", "met the goal", "share"), rows))
            if self.row["still_in_time"]:
                has = "has" if self.row["still_in_time"] == 1 else "have"
                waiting = counted(self.row["still_in_time"], "account")
                parts.append(f"{waiting} still {has} time and count for neither.")
            parts += self._difference()
        return Section(title, (*parts, self.because()), tone)

    def _difference(self) -> list[str]:
        if self.row["effect"] is None:
            return []
        text = f"Difference: {_points(self.row['effect'])} points."
        if self.row["status"] == "measured":
            text += f" For one look on a day chosen before: {_span(*self._one_look)} (95 %)."
        return [f"{text} For those who look every day: {_span(*self.sequence)} (95 %)."]

    @property
    def _one_look(self) -> tuple[float, float]:
        return self.row["effect_low"], self.row["effect_high"]

    def in_short(self) -> str:
        """The version in one line of a run's report."""
        text = f"{self.trigger} {self.version[:SHOWN_OF_A_VERSION]} {self.verdict}"
        if self.row["effect"] is None:
            return f"{text}. {self.because()}"
        difference = f"{_points(self.row['effect'])} points, {_span(*self.sequence)}"
        return f"{text}: {difference}. {self.because()}"


@dataclass(frozen=True)
class Effects:
    """What mails changed, by trigger and version; the newest version of each first."""

    versions: Sequence[VersionEffect]
    present: Mapping[str, str]
    """Trigger: the version of its file now."""
    silent: Sequence[str]
    """Triggers that no account has entered."""
    as_of: datetime
    time_zone: str

    def as_json(self) -> dict[str, Any]:
        """The object of `effect --json`."""
        return {
            "as_of": self.as_of.isoformat(),
            "versions": [
                {**version.as_json(), "is_present": self._is_present(version)}
                for version in self.versions
            ],
            "nobody_entered": list(self.silent),
        }

    def as_document(self) -> Document:
        """The effects for a person."""
        sections = [
            version.as_section(self.time_zone, is_present=self._is_present(version))
            for version in self.versions
        ]
        if self.silent:
            sections.append(
                Section("Nobody had entered before the last run", (", ".join(self.silent),))
            )
        how = (
            f"As of {moment(self.as_of, self.time_zone)}. Accounts count in the group they were "
            "put in, mailed in fact or not, once their time to meet the goal is over."
        )
        return [*sections, Section("", (how,))]

    def _is_present(self, version: VersionEffect) -> bool:
        return self.present.get(version.trigger) == version.version


def effect(settings: Settings, name: str | None = None) -> Effects:
    """What mails changed, of one trigger or of all, as of the published run.

    Raises UnknownName for a trigger that neither has a file nor was ever entered; WarehouseError
    when nothing was published yet.
    """
    folder = settings.folder("triggers")
    triggers, _ = read_folder(folder)
    with connect_published(settings) as warehouse:
        versions = read_effects(settings, warehouse)
        as_of = published_marts.as_of(warehouse)
    known = {*names(folder), *(version.trigger for version in versions)}
    if name is not None and name not in known:
        hint = did_you_mean(name, known) or f"there are: {', '.join(sorted(known)) or 'none'}"
        raise UnknownName(f"no trigger {name!r}; {hint}")
    entered = {version.trigger for version in versions}
    return Effects(
        versions=[version for version in versions if name in (None, version.trigger)],
        present={trigger.name: trigger.version for trigger in triggers},
        silent=sorted(unused for unused in known - entered if name in (None, unused)),
        as_of=as_of,
        time_zone=settings.company.time_zone,
    )


def read_effects(settings: Settings, warehouse: duckdb.DuckDBPyConnection) -> list[VersionEffect]:
    """Every version that accounts have entered, by trigger, the newest first."""
    as_of = published_marts.as_of(warehouse)
    worth_seeing = settings.effect.worth_seeing_points / 100
    return [VersionEffect(row, as_of, worth_seeing) for row in published_marts.effects(warehouse)]


def newest(versions: Sequence[VersionEffect]) -> list[VersionEffect]:
    """Of each trigger that is measured, the version that was entered last."""
    newest_of: dict[str, VersionEffect] = {}
    for version in versions:
        newest_of.setdefault(version.trigger, version)
    return [version for version in newest_of.values() if not version.unmeasured]


def _utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC)


def _percent(part: int, total: int) -> str | None:
    return f"{part / total:.1%}" if total else None


def _points(share: float) -> str:
    return f"{share * 100:+.1f}"


def _span(low: float, high: float) -> str:
    return f"{_points(low)} to {_points(high)}"
