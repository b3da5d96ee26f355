"""Reads from prefect.yaml when each command is to run. Prefect itself is not asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import yaml
from croniter import CroniterError, croniter

from lifecycle.errors import SettingsError
from lifecycle.settings import CHECKOUT

FILE_NAME = "prefect.yaml"


class Rule(Protocol):
    """When something happens, again and again. All moments are UTC."""

    text: str
    """As a person would write it."""

    def after(self, moment: datetime) -> datetime:
        """The first time after a moment."""

    def until(self, moment: datetime) -> datetime:
        """The last time up to a moment."""


class Cron:
    """A cron expression on the clock of a time zone."""

    def __init__(self, expression: str, time_zone: str, day_or: bool = True) -> None:
        """Raises ValueError for an expression or a zone that is none."""
        self._expression, self._day_or = expression, day_or
        self._zone = ZoneInfo(time_zone)
        self.text = f"{expression} {time_zone}"
        try:
            self.after(datetime.now(UTC))
        except CroniterError as error:
            raise ValueError(f"{expression!r} is not a cron expression: {error}") from None

    def after(self, moment: datetime) -> datetime:
        return next(at for at in self._times(moment, "get_next") if at > moment)

    def until(self, moment: datetime) -> datetime:
        # One minute further: a moment at which it fires is the last time itself.
        later = moment + timedelta(minutes=1)
        return next(at for at in self._times(later, "get_prev") if at <= moment)

    def _times(self, moment: datetime, step: str) -> Iterator[datetime]:
        # As Prefect does: croniter counts on a clock without a zone, whose hours are then looked
        # up in the zone. Of an hour that comes twice the first counts.
        clock = moment.astimezone(self._zone).replace(tzinfo=None)
        times = croniter(self._expression, clock, ret_type=datetime, day_or=self._day_or)
        while True:
            yield getattr(times, step)().replace(tzinfo=self._zone).astimezone(UTC)


class Every:
    """Every so many seconds."""

    def __init__(self, seconds: float, anchor: datetime) -> None:
        self._interval, self._anchor = timedelta(seconds=seconds), anchor
        self.text = f"every {seconds:g} seconds"

    def after(self, moment: datetime) -> datetime:
        return self.until(moment) + self._interval

    def until(self, moment: datetime) -> datetime:
        return self._anchor + (moment - self._anchor) // self._interval * self._interval


@dataclass(frozen=True)
class Schedule:
    """When a deployment of prefect.yaml runs its command."""

    name: str
    """Of the deployment: daily."""
    command: str
    """What it runs, as the ledger records it: lifecycle-run."""
    rules: Sequence[Rule]

    @property
    def text(self) -> str:
        """When it runs, as prefect.yaml says."""
        return ", ".join(rule.text for rule in self.rules)

    def after(self, moment: datetime) -> datetime:
        """When it runs next after a moment (UTC)."""
        return min(rule.after(moment) for rule in self.rules)

    def interval(self, moment: datetime) -> timedelta:
        """From the last time up to a moment to the next one."""
        return self.after(moment) - max(rule.until(moment) for rule in self.rules)


def read(root: Path) -> list[Schedule]:
    """The schedules of the prefect.yaml of a company's folder, else of the checkout's.

    A deployment without a schedule that is on is left out. Raises SettingsError.
    """
    own = root / FILE_NAME
    file = own if own.is_file() else CHECKOUT / FILE_NAME
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)
        schedules = [_schedule(deployment) for deployment in content["deployments"]]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise SettingsError(f"{file}: is not as Prefect writes it: {error!r}") from None
    except ValueError as error:
        raise SettingsError(f"{file}: {error}") from None
    return [schedule for schedule in schedules if schedule.rules]


def _schedule(deployment: Mapping[str, Any]) -> Schedule:
    name, entrypoint = deployment["name"], deployment["entrypoint"]
    schedules = deployment.get("schedules") or [deployment.get("schedule")]
    rules = [_rule(name, rule) for rule in schedules if rule and rule.get("active", True)]
    return Schedule(name, entrypoint.rpartition(":")[2].replace("_", "-"), rules)


def _rule(name: str, schedule: Mapping[str, Any]) -> Rule:
    if "cron" in schedule:
        zone = schedule.get("timezone") or "UTC"
        try:
            return Cron(schedule["cron"], zone, schedule.get("day_or", True))
        except (ValueError, KeyError) as error:
            raise ValueError(f"deployment {name}: {error}") from None
    if "interval" in schedule:
        anchor = schedule.get("anchor_date") or datetime(2023, 1, 1)  # noqa: DTZ001
        anchor = anchor if isinstance(anchor, datetime) else datetime.fromisoformat(anchor)
        zone = ZoneInfo(schedule.get("timezone") or "UTC")
        anchor = anchor if anchor.tzinfo else anchor.replace(tzinfo=zone)
        return Every(float(schedule["interval"]), anchor.astimezone(UTC))
    raise ValueError(f"deployment {name}: a schedule is a cron or an interval here")
