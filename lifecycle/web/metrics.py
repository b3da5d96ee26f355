"""What `GET /metrics` gives: the health of a state folder, for Prometheus.

Everything is read when somebody asks: the ledger in one transaction, the published file only
when it was replaced. Labels hold names of schedules, states, reasons and stages, never an
address. docs/monitoring.md lists them; deploy/prometheus/alarms.yml has the alarms.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Any

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from lifecycle import schedules as schedules_file
from lifecycle.clock import delivery_clock
from lifecycle.errors import LifecycleError, SettingsError
from lifecycle.ledger import commands, feedback, warmup
from lifecycle.ledger.day import Day, day
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import State
from lifecycle.mail.counting import due_now
from lifecycle.settings import Settings
from lifecycle.status.timeliness import timeliness
from lifecycle.warehouse import published_marts
from lifecycle.warehouse.connection import connect_published

COMPLAINTS_WARN, COMPLAINTS_ALARM = warmup.MAX_COMPLAINED, 0.003
"""Gmail and Yahoo ask bulk senders to stay under 0.1 % of complaints and never to reach 0.3 %."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """What is published. Times are UTC."""

    as_of: datetime
    newest_event_at: datetime | None
    is_late: bool


class Metrics(Collector):
    """Reads a state folder's metrics; each `collect` is a scrape, one at a time."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings, self._ledger = settings, ledger
        self._one_at_a_time = threading.Lock()
        self._published: Published | None = None
        self._file: tuple[int, int] | None = None
        self._schedules: Sequence[schedules_file.Schedule] = ()
        try:
            self._schedules = schedules_file.read(settings.root)
        except SettingsError as error:
            log.error("no metric of schedules: %s", error)

    def collect(self) -> Iterable[Metric]:
        """One scrape. Raises SQLAlchemyError where the ledger cannot be read."""
        with self._one_at_a_time:
            return list(self._collect())

    def _collect(self) -> Iterator[Metric]:
        now, clock = datetime.now(UTC), delivery_clock(self._settings, self._ledger)
        with self._ledger.read() as connection:
            recorded = commands.read(connection)
            read = feedback.last_syncs(connection)
            due = due_now(self._settings, connection, clock)
            past_day = day(connection, clock)
        yield from self._of_published(clock if self._settings.source.is_synthetic else now)
        yield from self._of_schedules(recorded, now)
        yield from _of_mails(past_day)
        yield _gauge("due_mails", "Mails that could leave now and have not.", due.mails)
        yield _gauge(
            "oldest_due_mail_age_seconds",
            "Seconds that the mail that is due longest has been waiting; 0: none is due.",
            (clock - due.since).total_seconds() if due.since else 0,
        )
        yield _gauge(
            "oldest_due_mail_max_age_seconds",
            "How many that may be: [status] due_max_minutes.",
            self._settings.status.due_max_minutes * 60,
        )
        last = recorded.last_delivery
        yield _gauge(
            "last_delivery_due_mails",
            "Mails that were due in the last delivery.",
            last.due if last else None,
        )
        yield _gauge(
            "last_delivery_accepted_mails",
            "Mails that the provider took in the last delivery.",
            last.accepted if last else None,
        )
        yield _gauges(
            "feedback_age_seconds",
            "Seconds since each of the provider's lists was read whole; +Inf: it never was.",
            "list",
            {
                name: (now - read[name].succeeded_at).total_seconds() if name in read else inf
                for name in feedback.LISTS.get(self._settings.delivery.provider, ())
            },
        )
        yield _gauge(
            "feedback_max_age_seconds",
            "How many that may be: with older feedback a live provider sends nothing.",
            self._settings.feedback.max_age_hours * 3600,
        )
        yield from _of_report(past_day.newest_report)

    def _of_schedules(self, recorded: commands.Commands, now: datetime) -> Iterator[Metric]:
        schedules = timeliness(self._settings.status, self._schedules, recorded, now)
        yield _gauges(
            "schedule_last_success_age_seconds",
            "Seconds since each schedule's command last ended well; where it never did, since the "
            "ledger began to record commands.",
            "schedule",
            {
                schedule.schedule: (now - schedule.last_well_at).total_seconds()
                for schedule in schedules
            },
        )
        yield _gauges(
            "schedule_max_age_seconds",
            "How many that may be: one interval of the schedule and [status] grace_minutes.",
            "schedule",
            {schedule.schedule: schedule.max_age_seconds for schedule in schedules},
        )
        yield _gauges(
            "schedule_overdue",
            "Whether no run of the schedule's command has finished in that time, well or not.",
            "schedule",
            {schedule.schedule: schedule.overdue_since is not None for schedule in schedules},
        )

    def _of_published(self, now: datetime) -> Iterator[Metric]:
        published = self._read_published()
        event = published.newest_event_at if published else None
        yield _gauge("published", "Whether anything is published.", published is not None)
        yield _gauge(
            "published_age_seconds",
            "Seconds since the as-of of the newest published day.",
            (now - published.as_of).total_seconds() if published else None,
        )
        yield _gauge(
            "published_max_age_seconds",
            "How many that may be: [status] published_max_age_hours.",
            self._settings.status.published_max_age_hours * 3600,
        )
        yield _gauge(
            "feed_age_seconds",
            "Seconds since the newest usage event that is published.",
            (now - event).total_seconds() if event else None,
        )
        yield _gauge(
            "feed_late",
            "Whether the usage feed was late in the newest published day.",
            published.is_late if published else None,
        )

    def _read_published(self) -> Published | None:
        """What is published; what was, where the file cannot be read at this moment."""
        path = self._settings.published_db
        try:
            stat = os.stat(path)
        except OSError:
            return self._published
        file = stat.st_ino, stat.st_mtime_ns
        if file != self._file:
            try:
                with connect_published(self._settings) as warehouse:
                    feed = published_marts.feed(warehouse)
                    event: datetime | None = feed.get("newest_event_at")
                    self._published = Published(
                        as_of=published_marts.as_of(warehouse),
                        newest_event_at=event and event.replace(tzinfo=UTC),
                        is_late=feed["feed_status"] != "fresh",
                    )
                self._file = file
            except LifecycleError as error:
                log.warning("%s", error)
        return self._published


def registry(settings: Settings, ledger: Ledger) -> CollectorRegistry:
    """What a scrape reads: the state folder, and nothing of this process."""
    collectors = CollectorRegistry(auto_describe=False)
    collectors.register(Metrics(settings, ledger))
    return collectors


def _of_mails(past: Day) -> Iterator[Metric]:
    yield _gauges(
        "sends",
        "Mails in the ledger by state.",
        "state",
        {state: past.by_state.get(state, 0) for state in State},
    )
    counts = {"accepted": past.accepted, "bounced": past.bounced, "complained": past.complained}
    yield _gauges(
        "mails_last_day",
        "Mails of the last 24 hours that the provider took, and faults that came back meanwhile.",
        "result",
        counts,
    )
    for name, count in (("bounce", past.bounced), ("complaint", past.complained)):
        yield _gauge(
            f"{name}_ratio",
            f"{name.capitalize()}s of the last 24 hours over mails accepted in them; absent where "
            "none was.",
            count / past.accepted if past.accepted else None,
        )
    yield _gauge(
        "bounce_ratio_limit", "What a healthy sender stays under.", warmup.MAX_BOUNCED
    )  # fmt: skip
    yield _gauges(
        "complaint_ratio_limit",
        "What Gmail and Yahoo ask bulk senders to stay under (warn), and never to reach (alarm).",
        "level",
        {"warn": COMPLAINTS_WARN, "alarm": COMPLAINTS_ALARM},
    )


def _of_report(text: str | None) -> Iterator[Metric]:
    """What the newest run said: one that was stopped says less."""
    report: dict[str, Any] = json.loads(text) if text else {}
    yield _gauges(
        "withheld_mails",
        "Mails that the newest run decided against, by reason.",
        "reason",
        report.get("withheld") or {},
    )
    yield _gauges(
        "run_stage_seconds",
        "Seconds that each stage of the newest run took.",
        "stage",
        report.get("seconds") or {},
    )


def _gauge(name: str, meaning: str, value: float | None) -> Metric:
    """A metric of one value; without a sample where there is none."""
    return GaugeMetricFamily(f"lifecycle_{name}", meaning, value=value)


def _gauges(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    metric = GaugeMetricFamily(f"lifecycle_{name}", meaning, labels=[label])
    for key, value in values.items():
        metric.add_metric([str(key)], value)
    return metric
