"""One run: its settings, its clock, its lock, and the report that it fills.

`Run.begin` is the frame around the stages that flows/lifecycle_run.py puts in order. The
warehouse and the ledger are in one state folder, and only one run works there at a time.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO
from zoneinfo import ZoneInfo, available_timezones

from lifecycle import settings as settings_file
from lifecycle.errors import AlreadyRunning, ClockError, InputError, OverBudget, Problems, Stopped
from lifecycle.ledger import account_history, approvals, commands, runs
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import APPROVED
from lifecycle.logs import write_log
from lifecycle.mail.deliver import check_live, refuse_to_replay_live
from lifecycle.masking import mask_addresses
from lifecycle.notify import notify
from lifecycle.report.run_report import RunReport, Stop
from lifecycle.report.stage_outcome import stage_outcome
from lifecycle.report.waiting import BROKEN, broken_lines
from lifecycle.settings import Settings

if TYPE_CHECKING:
    from lifecycle.authoring.files import Seen

log = logging.getLogger("lifecycle.run")

REPLAY_AFTER = timedelta(hours=24)
"""A run whose as-of is older than this looked at the past."""


class Watcher(Protocol):
    """Who looks on while a run goes: the command line shows it, a worker logs it."""

    def stage(self, name: str) -> None:
        """A stage begins."""

    def step(self, text: str) -> None:
        """The stage got somewhere."""

    def ended(self, report: RunReport) -> None:
        """The run is over, well or not."""


class _Nobody:
    """Looks on where nobody does: the log says what happened."""

    def stage(self, name: str) -> None:
        pass

    def step(self, text: str) -> None:
        log.debug("%s", text)

    def ended(self, report: RunReport) -> None:
        pass


_NOBODY = _Nobody()
watcher: ContextVar[Watcher] = ContextVar("watcher")
"""Who looks on; where nobody was set, use `watched()`."""


def watched() -> Watcher:
    """Who looks on at this moment."""
    return watcher.get(_NOBODY)


class Run:
    """A run under way. All times are aware and UTC."""

    def __init__(
        self, settings: Settings, ledger: Ledger, *, as_of: datetime, dry_run: bool, stands: bool
    ) -> None:
        started = datetime.now(UTC)
        self.settings = settings
        self.ledger = ledger
        self.as_of = as_of
        # One reading of the clock: what is loaded now is known now.
        replays = stands and settings.source.kind != "demo"
        self.loaded_at = started if replays else as_of
        self.dry_run = dry_run
        self.run_id = f"{started:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        self.report = RunReport(
            run_id=self.run_id,
            as_of=as_of,
            source=settings.source.kind,
            dry_run=dry_run,
            state_dir=str(settings.state_dir),
            time_zone=settings.company.time_zone,
        )
        self.record = commands.Record()
        """What the ledger's record of commands is to say of it."""
        self.report.report_file = str(self.report.path(settings.reports_dir).absolute())
        self.seen: Seen | None = None
        """The trigger files when it began."""
        self.is_watched = False
        """Somebody asked for it by hand, and sees what it says."""
        self._stands = stands
        self._stage = "begin"
        self._lock: TextIO | None = None

    @classmethod
    @contextmanager
    def begin(
        cls,
        *,
        as_of: str | None = None,
        dry_run: bool = False,
        source: str | None = None,
        config: str | None = None,
        at_the_end: Callable[[RunReport], None] | None = None,
    ) -> Iterator[Run]:
        """Open a run; record, report and tell how it ended, whatever happens inside.

        `at_the_end` gets the report, of a good end or a bad one.

        Raises AlreadyRunning, SettingsError, ClockError for an as-of that cannot be read or
        lies before the ledger's newest decision, InputError for a source of another kind
        than this state folder's: these are no runs of this folder, and leave nothing. Then,
        as a run that is recorded but touches no data, Problems for what is wrong with all
        triggers or with expectations, and GateStopped where bounces and unsubscribes were not
        heard of. A trigger that cannot be used waits by itself. What is raised inside goes on.
        """
        overrides = {"source": {"kind": source}} if source else {}
        settings = settings_file.load(config, **overrides)
        write_log(settings.state_dir / "logs")
        moment = moment_of(settings, as_of)
        try:
            with only_one(settings.state_dir) as lock, Ledger.open(settings.ledger_url) as ledger:
                runs.check(ledger, as_of=moment, source=settings.source.kind)
                if not dry_run:
                    refuse_to_replay_live(settings, moment)
                keep_to_one_source(settings)
                stands = as_of is not None or settings.source.kind == "demo"
                run = cls(settings, ledger, as_of=moment, dry_run=dry_run, stands=stands)
                run.is_watched = as_of is not None or dry_run
                run._lock = lock
                try:
                    with run._recorded():
                        run._check()
                        yield run
                finally:
                    for hear in (watched().ended, at_the_end):
                        if hear is not None:
                            hear(run.report)
        except Exception as error:
            # What somebody asked for by hand fails before their eyes.
            if as_of is None and not dry_run:
                _tell(settings, "stopped" if isinstance(error, Stopped) else "failed", error)
            raise

    def now(self) -> datetime:
        """The clock that mails go by: it stands where the run looks at a chosen moment."""
        return self.as_of if self._stands else datetime.now(UTC)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage, and say that it is the one under way."""
        self._stage = name
        log.info("run %s: %s begins", self.run_id, name)
        watched().stage(name)
        begun = time.perf_counter()
        try:
            yield
        except Exception as error:
            # It goes on into states and logs that are kept where no address may be.
            error.args = tuple(
                mask_addresses(arg) if isinstance(arg, str) else arg for arg in error.args
            )
            raise
        else:
            spent = time.perf_counter() - begun
            outcome = mask_addresses(stage_outcome(self.report, name))
            log.info("run %s: %s (%.1f s)", self.run_id, outcome, spent)
        finally:
            spent = time.perf_counter() - begun
            self.report.seconds[name] = round(self.report.seconds.get(name, 0) + spent, 3)

    def over_budget(self) -> OverBudget:
        """What there is to say of a run that needs an approval and has none."""
        flood = self.report.flood
        assert flood is not None
        triggers = "\n".join(f"  - {name}: {n:,}" for name, n in flood.by_trigger.items())
        return OverBudget(
            f"nothing was sent, run {self.run_id} needs an approval: {flood.why}\n{triggers}\n"
            f"lifecycle approve {self.run_id} --by NAME --why TEXT sends what has not expired by "
            f"then; lifecycle reject {self.run_id} --by NAME --why TEXT cancels it"
        )

    def decide(self, approve: bool, *, by: str, why: str) -> None:
        """Write down what a person decided. Raises InputError if somebody was faster."""
        if approve:
            approvals.approve(self.ledger, self.run_id, by=by, why=why)
        else:
            approvals.reject(self.ledger, self.run_id, now=self.now(), by=by, why=why)

    def check_approved(self) -> None:
        """Raise OverBudget unless somebody approved the run."""
        said = approvals.decision(self.ledger, self.run_id)
        if said is None:
            raise self.over_budget()
        if said.decision != APPROVED:
            raise OverBudget(f"nothing was sent: {said.by} rejected the run: {said.why}")

    def wait(self, why: Stopped) -> None:
        """Tell that the run waits for a person, and let others begin meanwhile.

        What is left of it, delivering, is safe beside another run.
        """
        runs.wait(self.ledger, self.run_id)
        if self._lock is not None:
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        _tell(self.settings, "waits", why)

    def tell_of_broken_triggers(self) -> None:
        """Tell whoever `[notify]` names which triggers wait because they cannot be used."""
        for line in broken_lines(self.report.broken):
            log.warning("run %s: %s", self.run_id, line)
        if self.report.broken and not self.is_watched:
            names = ", ".join(self.report.broken)
            told = "\n\n".join((*broken_lines(self.report.broken), BROKEN))
            subject = f"The daily run goes on without what cannot be used: {names}"
            _notify(self.settings, subject, told)

    def progress(self, text: str) -> None:
        """Say how far the stage under way has got."""
        watched().step(text)

    def conclude(self) -> None:
        """Write the report of a run that did all it had to."""
        self.report.status = "done"
        self.report.write(self.settings.reports_dir)

    def _check(self) -> None:
        """What has to be right before a stage begins."""
        from lifecycle.authoring.files import Seen
        from lifecycle.authoring.validate import validate  # seconds, which only a run needs

        self.seen = Seen.now(self.settings)
        found = validate(self.settings)
        self.report.broken = {name: list(wrong) for name, wrong in found.files.broken.items()}
        for line in broken_lines(self.report.broken):
            log.warning("run %s begins while %s", self.run_id, line)
        if found.stops_a_run:
            raise Problems(found.stops_a_run)
        if not self.dry_run:
            check_live(self.settings, self.ledger, self.as_of)

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        run_id = self.run_id
        kind = "dry run" if self.dry_run else "run"
        log.info("%s %s begins, as of %s", kind, run_id, self.as_of)
        if not self.dry_run:
            runs.begin(self.ledger, run_id=run_id, as_of=self.as_of, source=self.report.source)
        try:
            with self._recorded_command():
                yield
        except BaseException as error:
            self.report.status = "stopped" if isinstance(error, Stopped) else "failed"
            self.report.stopped = Stop.at(self._stage, error)
            self.report.write(self.settings.reports_dir)
            log.error("run %s %s in %s: %s", run_id, self.report.status, self._stage, error)
            raise
        else:
            log.info("%s", self.report.in_short())
        finally:
            if not self.dry_run:
                written = self.report.as_json()
                runs.finish(self.ledger, run_id=run_id, status=self.report.status, report=written)

    def _recorded_command(self) -> AbstractContextManager[object]:
        """What says on the ledger's record of commands that this one ran; a dry run is none."""
        if self.dry_run:
            return nullcontext()
        return commands.recorded(self.ledger, commands.RUN, self.record)


def parse_as_of(text: str) -> datetime:
    """The moment that somebody wrote: a day, or a day and a time, with or without a zone.

    `2011-12-09 13:00 UTC`, `2011-06-01 10:00`, `2026-06-10T10:00+09:00`, `2026-06-10 10:00
    Asia/Tokyo`, `2026-06-10`. Without a zone it is UTC. Raises ClockError.
    """
    moment, _, zone = text.strip().rpartition(" ")
    try:
        if moment and zone.upper() in ("UTC", "Z", "GMT"):
            return _at(moment, ZoneInfo("UTC"))
        if moment and zone in available_timezones():
            return _at(moment, ZoneInfo(zone))
        return _at(text.strip(), ZoneInfo("UTC"))
    except (ValueError, OverflowError):
        raise ClockError(
            f"as-of {text!r} is not a moment; write it like '2011-12-09 13:00 UTC', "
            "'2026-06-10T10:00+09:00' or '2026-06-10'"
        ) from None


def _at(text: str, zone: ZoneInfo) -> datetime:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def day_begins(settings: Settings, day: str, *, after: datetime) -> datetime:
    """When a day (2026-12-01) begins in the company's time zone, as UTC.

    Raises InputError for what is no day, or one that began before `after`.
    """
    zone = ZoneInfo(settings.company.time_zone)
    try:
        begins = datetime.combine(date.fromisoformat(day), datetime.min.time(), zone)
    except ValueError:
        raise InputError(f"{day!r} is not a day; write it as 2026-12-01") from None
    if begins <= after:
        raise InputError(f"{day} has begun already; it is {after.astimezone(zone):%Y-%m-%d %H:%M}")
    return begins.astimezone(UTC)


def delivery_clock(settings: Settings, ledger: Ledger, as_of: str | None = None) -> datetime:
    """What time it is for mails that wait in the ledger, unless somebody chose a moment.

    A state folder that looks at the past (the demo company, a replay) stands at its last
    run's as-of: by the wall clock all its mails would be too late. Otherwise it is now.
    """
    if as_of is not None:
        return parse_as_of(as_of)
    now = datetime.now(UTC)
    last = account_history.last_runs(ledger, 1)
    if not last:
        return now
    replays = last[0].started_at - last[0].as_of > REPLAY_AFTER
    stands = replays or settings.source.kind == "demo"
    return (runs.newest_decision(ledger) or now) if stands else now


def moment_of(settings: Settings, as_of: str | None = None) -> datetime:
    """Return the moment that a run looks at, in UTC: the one asked for, or the source's now.

    Raises ClockError for what is no moment, or lies in the future of a real source.
    """
    now = datetime.now(UTC)
    if settings.source.kind == "demo":
        from lifecycle.sources.demo import CLOCK

        return parse_as_of(as_of) if as_of else CLOCK
    if as_of is None:
        return now
    moment = parse_as_of(as_of)
    if moment > now:
        # The ledger could never go back from there: a slip of the pen would end all runs.
        raise ClockError(f"as-of {moment:%Y-%m-%d %H:%M} UTC is in the future")
    return moment


def keep_to_one_source(settings: Settings) -> None:
    """Mark the state folder with its source's kind, and refuse another; dry runs too pull.

    Raises InputError.
    """
    mark = settings.state_dir / "source"
    kind = settings.source.kind
    if not mark.exists():
        mark.write_text(f"{kind}\n", encoding="utf-8")
    known = mark.read_text(encoding="utf-8").strip()
    if known != kind:
        runs.refuse_mixing(known, kind)


@contextmanager
def only_one(state_dir: Path) -> Iterator[TextIO]:
    """Hold the state folder's lock; the system gives it back when the process dies.

    Raises AlreadyRunning when another process holds it.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / "run.lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(_who_holds(file.name)) from None
        file.truncate(0)
        holder = {"pid": os.getpid(), "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"}
        file.write(json.dumps(holder))
        file.flush()
        yield file


def _who_holds(path: str) -> str:
    try:
        holder = json.loads(Path(path).read_text(encoding="utf-8"))
        who = f"process {holder['pid']}, since {holder['since']}"
    except (OSError, ValueError, KeyError):
        who = "it has only just begun"
    return f"another run is working in {Path(path).parent} ({who}); wait for it, or end it"


def _tell(settings: Settings, subject: str, error: Exception) -> None:
    _notify(settings, f"The daily run {subject}: {_first_line(error)}", str(error))


def _notify(settings: Settings, subject: str, told: str) -> None:
    body = f"{told}\n\nState folder: {settings.state_dir}\n"
    problems = notify(settings, subject=subject, body=body)
    for problem in problems:
        log.warning("%s", problem)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
