"""The report of `lifecycle simulate`: mails a day, people, repeats, caps, and the difference."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from lifecycle.document import Cell, Document, Section, Table, counted, table
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State
from lifecycle.masking import mask_addresses
from lifecycle.report.reasons import WHY
from lifecycle.settings import Settings
from lifecycle.whatif.simulation import Memory, Replay, capped, replay, unwritten
from lifecycle.whatif.variant import Variant

SHOWN_BY_DAY = 31
"""Spans up to this many days get a row a day; longer spans get a row a month."""
CAUSES = 5
"""How many reasons for unrendered mails a person sees."""
SPAN = timedelta(days=7)
"""Two mails to one person within this span are repeat contact."""


@dataclass(frozen=True)
class Simulated:
    """One replay, counted. Days are the company's."""

    replay: Replay
    time_zone: str

    @cached_property
    def by_day(self) -> dict[date, int]:
        """Sent mails by day; days without a mail have 0."""
        zone = ZoneInfo(self.time_zone)
        counts = Counter(mail.at.astimezone(zone).date() for mail in self.replay.mails)
        days = {day.day for day in self.replay.days} | counts.keys()
        return {day: counts[day] for day in sorted(days)}

    @cached_property
    def people(self) -> frozenset[str]:
        """The addresses that were mailed."""
        return frozenset(mail.address for mail in self.replay.mails)

    @cached_property
    def by_trigger(self) -> dict[str, dict[str, int]]:
        """For each trigger: mails, people, accounts."""
        counts: dict[str, dict[str, int]] = {}
        for trigger in sorted({*(mail.trigger for mail in self.replay.mails), *self._names}):
            mails = [mail for mail in self.replay.mails if mail.trigger == trigger]
            counts[trigger] = {
                "mails": len(mails),
                "people": len({mail.address for mail in mails}),
                "accounts": len({mail.account_id for mail in mails}),
            }
        return counts

    @cached_property
    def repeated(self) -> dict[str, int]:
        """Address with more than one mail in seven days: the most mails in such a span.

        Mails that a copied ledger had sent before count too.
        """
        moments: dict[str, list[datetime]] = defaultdict(list)
        for mail in (*self.replay.before, *self.replay.mails):
            moments[mail.address].append(mail.at)
        first = self.replay.days[0].at
        most_of = {}
        for address, times in moments.items():
            most = max(
                (sum(at - SPAN < before <= at for before in times) for at in times if at >= first),
                default=0,
            )
            if most > 1:
                most_of[address] = most
        return most_of

    @cached_property
    def busiest(self) -> tuple[date, int]:
        """The day with the most mails, the first of several."""
        return max(self.by_day.items(), key=lambda item: item[1])

    @cached_property
    def withheld(self) -> dict[str, dict[str, int | None]]:
        """By reason: `mails`, each once, and `most_a_day`.

        `mails` is None for reasons that are only counted. A mail or a whole entry is one.
        """
        reasons: Counter[str] = Counter()
        for day in self.replay.days:
            for reason, count in day.withheld.items():
                reasons[reason] = max(reasons[reason], count)
        return {
            reason: {
                "mails": len(self.replay.withheld[reason])
                if reason in self.replay.withheld
                else None,
                "most_a_day": most,
            }
            for reason, most in reasons.most_common()
        }

    @property
    def capped(self) -> int:
        """Mails that a cap stopped, when they were planned or when they were claimed."""
        late = sum(
            count
            for (state, why), count in self.replay.unsent.items()
            if state == State.SUPPRESSED and "may get" in why
        )
        return len(capped(self.replay)) + late

    @property
    def _names(self) -> list[str]:
        return [trigger.name for trigger in self.replay.variant.triggers]

    def figures(self) -> dict[str, int | float]:
        """The figures by which two simulations are compared."""
        days = list(self.by_day.values())
        busiest = self.busiest
        return {
            "mails": len(self.replay.mails),
            "people": len(self.people),
            "accounts": len({mail.account_id for mail in self.replay.mails}),
            "median_mails_a_day": median(days),
            "mails_on_busiest_day": busiest[1],
            "people_with_repeat_contact": len(self.repeated),
            "most_mails_in_7_days": max(self.repeated.values(), default=min(1, len(self.people))),
            "capped": self.capped,
        }

    def as_json(self) -> dict[str, Any]:
        """The object of one simulation. No address is in it."""
        unsent: Counter[str] = Counter()
        for (state, _), count in self.replay.unsent.items():
            unsent[str(state)] += count
        return {
            "files": self.replay.variant.name,
            "problems": [str(problem) for problem in self.replay.variant.problems],
            **self.figures(),
            "busiest_day": str(self.busiest[0]),
            "by_trigger": self.by_trigger,
            "withheld": self.withheld,
            "planned_but_not_sent": dict(unsent),
            "days": [
                {
                    "day": str(day.day),
                    "as_of": day.at.isoformat(),
                    "feed_status": day.feed_status,
                    "accounts": day.accounts,
                    "entered": day.entered,
                    "planned": day.planned,
                    "mails": self.by_day[day.day],
                    "withheld": dict(day.withheld),
                }
                for day in self.replay.days
            ],
        }


@dataclass(frozen=True)
class Simulation:
    """One simulation, or two of the same days to be compared: the second is the changed one."""

    simulated: tuple[Simulated, ...]
    memory: Memory

    def as_json(self) -> dict[str, Any]:
        """The object of `simulate --json`."""
        days = self.simulated[0].replay.days
        result: dict[str, Any] = {
            "from": str(days[0].day),
            "to": str(days[-1].day),
            "days": len(days),
            "ledger": self.memory,
            "simulations": [simulated.as_json() for simulated in self.simulated],
        }
        if len(self.simulated) == 2:
            result["difference"] = self._difference()
        return result

    def _difference(self) -> dict[str, Any]:
        before, after = self.simulated
        return {
            **{
                name: round(value - before.figures()[name], 6)
                for name, value in after.figures().items()
            },
            "people_only_before": len(before.people - after.people),
            "people_only_after": len(after.people - before.people),
            "by_trigger": {
                trigger: _mails(after, trigger) - _mails(before, trigger)
                for trigger in sorted(before.by_trigger | after.by_trigger)
            },
        }

    def as_document(self) -> Document:
        """The simulation for a person."""
        sections = [self._figures(), self._by_trigger(), self._days()]
        sections += [_withheld(simulated, len(self.simulated) > 1) for simulated in self.simulated]
        return [
            *sections,
            *(_problems(simulated) for simulated in self.simulated if _has_problems(simulated)),
        ]

    def _figures(self) -> Section:
        days = self.simulated[0].replay.days
        late = sum(day.feed_status == "late" for day in days)
        memory = "an empty ledger" if self.memory == "empty" else "a copy of the ledger"
        parts: list[str | Table] = [
            f"{counted(len(days), 'day')}, {days[0].day} to {days[-1].day}, with {memory}. "
            "Nothing was sent, and nothing of the state folder has changed."
        ]
        if late:
            parts.append(f"The usage feed is late on {counted(late, 'day')}: triggers wait then.")
        rows: list[list[Cell]] = [
            [label, *(simulated.figures()[name] for simulated in self.simulated)]
            for name, label in FIGURES.items()
        ]
        rows.insert(
            4,
            [
                "busiest day",
                *(f"{simulated.busiest[0]:%a %Y-%m-%d}" for simulated in self.simulated),
            ],
        )
        columns = ["", *(simulated.replay.variant.name for simulated in self.simulated)]
        if len(self.simulated) == 2:
            changes = self._difference()
            labels = {label: name for name, label in FIGURES.items()}
            for row in rows:
                row.append(_signed(changes[labels[str(row[0])]]) if row[0] in labels else None)
            rows += [
                ["people mailed by one alone", *(changes[f"people_only_{s}"] for s in SIDES), None]
            ]
            columns.append("difference")
        parts.append(table(columns, rows))
        return Section("Simulation", tuple(parts))

    def _by_trigger(self) -> Section:
        names = sorted({name for simulated in self.simulated for name in simulated.by_trigger})
        if len(self.simulated) == 1:
            counts_of = self.simulated[0].by_trigger
            rows: list[list[Cell]] = [[name, *counts_of[name].values()] for name in names]
            return Section("By trigger", (table(("trigger", "mails", "people", "accounts"), rows),))
        before, after = self.simulated
        rows = []
        for name in names:
            counts = [_mails(simulated, name) for simulated in self.simulated]
            rows.append([name, *counts, _signed(counts[1] - counts[0])])
        columns = ("trigger", before.replay.variant.name, after.replay.variant.name, "difference")
        return Section("Mails by trigger", (table(columns, rows),))

    def _days(self) -> Section:
        by_month = len(self.simulated[0].replay.days) > SHOWN_BY_DAY
        names = [simulated.replay.variant.name for simulated in self.simulated]
        many = len(names) > 1
        label: Callable[[date], str] = "{:%Y-%m}".format if by_month else "{:%a %Y-%m-%d}".format
        groups: dict[str, list[date]] = defaultdict(list)
        for day in sorted({day for simulated in self.simulated for day in simulated.by_day}):
            groups[label(day)].append(day)
        rows: list[list[Cell]] = []
        for group, days in groups.items():
            row: list[Cell] = [group]
            for simulated in self.simulated:
                mails = [simulated.by_day.get(day, 0) for day in days]
                row += [sum(mails), max(mails)] if by_month else [sum(mails)]
            rows.append(row)
        columns = ["month" if by_month else "day"]
        for name in names:
            columns.append(f"mails, {name}" if many else "mails")
            if by_month:
                columns.append("most on a day")
        return Section("Mails a month" if by_month else "Mails a day", (table(columns, rows),))


SIDES = ("before", "after")
FIGURES = {
    "mails": "mails",
    "people": "people reached",
    "accounts": "accounts reached",
    "median_mails_a_day": "mails on a middling day",
    "mails_on_busiest_day": "mails on the busiest day",
    "people_with_repeat_contact": "people with more than one mail in 7 days",
    "most_mails_in_7_days": "most mails to one person in 7 days",
    "capped": "mails that a cap held back",
}


def simulate(
    settings: Settings,
    ledger: Ledger,
    variants: Sequence[Variant],
    *,
    days: Sequence[date],
    at: time,
    memory: Memory,
    progress: Callable[[date], None] | None = None,
) -> Simulation:
    """Replay these days with one set of files, or with two. Raises what `replay` raises."""
    replays = replay(settings, ledger, variants, days=days, at=at, memory=memory, progress=progress)
    zone = settings.company.time_zone
    return Simulation(tuple(Simulated(result, zone) for result in replays), memory)


def _mails(simulated: Simulated, trigger: str) -> int:
    return simulated.by_trigger.get(trigger, {"mails": 0})["mails"]


def _signed(number: float) -> str:
    return f"{number:+,g}" if number else "0"


def _withheld(simulated: Simulated, is_named: bool) -> Section:
    name = f" by {simulated.replay.variant.name}" if is_named else ""
    rows = [
        (reason, counts["mails"], counts["most_a_day"], WHY.get(reason, ""))
        for reason, counts in simulated.withheld.items()
    ]
    unsent = sorted(simulated.replay.unsent.items(), key=lambda item: (-item[1], item[0]))
    parts: list[str | Table] = []
    if rows:
        parts.append(table(("reason", "mails or entries", "most on a day", "why"), rows))
    if unsent:
        rows_of_unsent = ((str(state), count, why or None) for (state, why), count in unsent)
        parts.append(table(("planned, and then", "mails", "why"), rows_of_unsent))
    parts += [mask_addresses(cause) for cause in unwritten(simulated.replay)[:CAUSES]]
    return Section(f"Withheld{name}", tuple(parts) or ("Nothing.",))


def _has_problems(simulated: Simulated) -> bool:
    return bool(simulated.replay.variant.problems)


def _problems(simulated: Simulated) -> Section:
    problems = tuple(str(problem) for problem in simulated.replay.variant.problems)
    return Section(f"Wrong in {simulated.replay.variant.name}", problems, "warning")
