"""One run: its settings, its clock, its lock, and the report that it fills.

`Run.begin` is the frame around the stages that flows/lifecycle_run.py puts in order. The
warehouse and the ledger are in one state folder, and only one run works there at a time.
"""

from __future__ import annotations

import fcntl
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from lifecycle import settings as settings_file
from lifecycle.clock import delivered_on, moment_of
from lifecycle.erasure import check_key
from lifecycle.erasure.files import sweep
from lifecycle.errors import DeliveryHeld, LossesHeld, OverBudget, Problems, Stopped
from lifecycle.ledger import (
    approvals,
    commands,
    feed_questions,
    held_deliveries,
    leaving,
    operator,
    runs,
)
from lifecycle.ledger.departures import Departure
from lifecycle.ledger.store import Ledger
from lifecycle.ledger.tables import APPROVED
from lifecycle.logs import write_log
from lifecycle.mail.deliver import check_live, refuse_to_replay_live
from lifecycle.masking import mask_addresses
from lifecycle.notify import notify
from lifecycle.planning import approving
from lifecycle.private_files import keep_private
from lifecycle.report.run_report import RunReport, Stop
from lifecycle.report.stage_outcome import stage_outcome
from lifecycle.report.waiting import BROKEN, broken_lines, question_line
from lifecycle.report.watcher import watched
from lifecycle.settings import Settings
from lifecycle.state_lock import only_one
from lifecycle.warehouse import earlier_departures
from lifecycle.warehouse.connection import connect_work
from lifecycle.warehouse.known_then import check_order
from lifecycle.warehouse.published_days import unpublished_run

if TYPE_CHECKING:
    from lifecycle.authoring.files import Seen

log = logging.getLogger("lifecycle.run")

THIN_DAYS = 3
"""Business days in a row on which a part of the feed is thin before a person is asked."""


class Run:
    """A run under way. All times are aware and UTC."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        *,
        as_of: datetime,
        dry_run: bool,
        stands: bool,
        loaded_at: datetime | None = None,
    ) -> None:
        started = datetime.now(UTC)
        self.settings = settings
        self.ledger = ledger
        self.as_of = as_of
        # One reading of the clock: what is loaded now is known now.
        replays = stands and not settings.source.is_synthetic
        self.loaded_at = loaded_at or (started if replays else as_of)
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
        self.started_by: str | None = None
        """Who started it by hand; None: a schedule."""
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
        delivered: str | None = None,
        started_by: str | None = None,
        at_the_end: Callable[[RunReport], None] | None = None,
    ) -> Iterator[Run]:
        """Open a run; record, report and tell how it ended, whatever happens inside.

        `delivered` is the day from which on the delivery is known; empty: from now on.

        `started_by` is who started it by hand; None: a schedule.

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
        keep_private(settings.state_dir)
        write_log(settings.state_dir / "logs")
        dated = delivered_on(settings, delivered, as_of) if delivered is not None else None
        moment = dated.as_of if dated else moment_of(settings, as_of)
        try:
            with only_one(settings.state_dir) as lock, Ledger.open(settings.ledger_url) as ledger:
                runs.check(ledger, as_of=moment, source=settings.source.kind)
                if not dry_run:
                    refuse_to_replay_live(settings, moment)
                keep_to_one_source(settings)
                sweep(settings)
                by_hand = as_of is not None or dated is not None
                loaded_at = dated.loaded_at if dated else None
                if loaded_at is not None:
                    check_order(settings, loaded_at)
                run = cls(
                    settings,
                    ledger,
                    as_of=moment,
                    dry_run=dry_run,
                    stands=by_hand or settings.source.is_synthetic,
                    loaded_at=loaded_at,
                )
                run.is_watched = by_hand or dry_run
                run.started_by = started_by
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
            if as_of is None and delivered is None and not dry_run:
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

    def hold_delivery(
        self, door: str, failures: Sequence[str], digests: Mapping[str, str]
    ) -> DeliveryHeld:
        """Write down that this delivery waits for a person; returns what there is to say of it."""
        if self.dry_run:
            ask = "A dry run asks nobody: `lifecycle run` stops there too, and can be approved."
            return DeliveryHeld(door, failures, ask)
        held_deliveries.hold(self.ledger, self.run_id, digests, failures)
        return DeliveryHeld(
            door,
            failures,
            f"If this is meant, lifecycle approve {self.run_id} --by NAME --why TEXT lets exactly "
            "this delivery through, and the next `lifecycle run` goes on with it; lifecycle reject "
            f"{self.run_id} --by NAME --why TEXT drops it, and the next run reads again",
        )

    def hold_losses(self, failures: Sequence[str]) -> LossesHeld:
        """What there is to say of a run that would end too much."""
        reasons = "\n".join(f"  - {failure}" for failure in failures)
        return LossesHeld(
            f"nothing was ended and nothing was sent, run {self.run_id} needs an approval:\n"
            f"{reasons}\n"
            f"If this is meant, lifecycle approve {self.run_id} --by NAME --why TEXT, and the next "
            "`lifecycle run` ends them. Else mend the export: the next run goes on from where "
            "this one stood"
        )

    def let_through(self, table: str, digest: str) -> str | None:
        """Who let this delivery of a table through, and why; None: nobody."""
        return held_deliveries.let_through(self.ledger, table, digest)

    def decide(self, approve: bool, *, by: str, why: str) -> None:
        """Write down what a person decided in Prefect's form.

        Raises InputError if somebody was faster, or the form does not count.
        """
        now = self.now()
        with operator.through_form():
            if approve:
                approving.approve(self.settings, self.ledger, self.run_id, now=now, by=by, why=why)
            else:
                approvals.reject(self.ledger, self.run_id, now=now, by=by, why=why)

    @property
    def has_form(self) -> bool:
        """Whether Prefect's form may decide: with `[guard] four_eyes` only the command does."""
        return not self.settings.guard.four_eyes

    def check_approved(self) -> None:
        """Raise OverBudget unless somebody approved the run."""
        decision = approvals.decision(self.ledger, self.run_id)
        if decision is None:
            raise self.over_budget()
        if decision.decision != APPROVED:
            raise OverBudget(f"nothing was sent: {decision.by} rejected the run: {decision.why}")

    def wait(self, why: Stopped) -> None:
        """Tell that the run waits for a person, and let others begin meanwhile.

        What is left of it, delivering, is safe beside another run.
        """
        runs.wait(self.ledger, self.run_id)
        if self._lock is not None:
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        _tell(self.settings, "waits", why)

    def go_on(self) -> bool:
        """Be the one run of the state folder again after `wait`, with the delivery that it held.

        False where another run is working there, or has read another delivery since.
        """
        if self._lock is None:
            return False
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        with connect_work(self.settings) as work:
            last = work.execute("select run_id from context.run").fetchall()
            if last != [(self.run_id,)]:
                return False
            if unpublished_run(work, self.settings) not in (self.run_id, None):
                return False
        runs.go_on(self.ledger, self.run_id)
        return True

    def remember_departures(self, departures: Sequence[Departure]) -> None:
        """Keep those who left by the delivery, whatever becomes of the run."""
        key = self.settings.privacy.erasure_key.get_secret_value()
        leaving.record(self.ledger, departures, run_id=self.run_id, key=key)

    def keep_earlier_departures(self) -> None:
        """Keep those who left before departures were kept in the ledger: once, after an upgrade."""
        key = self.settings.privacy.erasure_key.get_secret_value()
        if kept := earlier_departures.keep_earlier(self.settings, self.ledger, key=key):
            log.info("%s addresses had left before the ledger kept departures", f"{kept:,}")

    def ask_about_thin_parts(self, parts: Sequence[Mapping[str, Any]]) -> None:
        """Ask once whether it is normal now that less comes of a part of the usage feed.

        `parts` are those that are watched, as published_marts.watched_parts has them.
        """
        thin = [
            feed_questions.ThinPart(
                part["part"],
                part["thin_since"],
                f"{part['last_full_day_events']:,} events on {part['last_full_day']}, usual are"
                f" {part['usual_events']:,.0f} on that weekday",
            )
            for part in parts
            if part["thin_days"] >= THIN_DAYS
        ]
        recovered = [part["part"] for part in parts if not part["thin_days"]]
        asked = feed_questions.ask(self.ledger, thin, recovered, run_id=self.run_id)
        self.report.feed_questions = [
            question_line(part.part, part.since, part.why) for part in asked
        ]
        for line in self.report.feed_questions:
            log.warning("run %s: %s", self.run_id, line)
        if asked and not self.is_watched:
            subject = "Is it normal now that less comes of the usage feed?"
            _notify(self.settings, subject, "\n\n".join(self.report.feed_questions))

    def tell_of_broken_triggers(self) -> None:
        """Tell whoever `[notify]` names which triggers wait because they cannot be used."""
        for line in broken_lines(self.report.broken):
            log.warning("run %s: %s", self.run_id, line)
        if self.report.broken and not self.is_watched:
            names = ", ".join(self.report.broken)
            text = "\n\n".join((*broken_lines(self.report.broken), BROKEN))
            subject = f"The daily run goes on without what cannot be used: {names}"
            _notify(self.settings, subject, text)

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

        check_key(self.settings, self.ledger)
        self.seen = Seen.now(self.settings)
        validation = validate(self.settings)
        self.report.broken = {name: list(wrong) for name, wrong in validation.files.broken.items()}
        for line in broken_lines(self.report.broken):
            log.warning("run %s begins while %s", self.run_id, line)
        if not self.dry_run:
            check_live(self.settings, self.ledger, self.as_of)
        if validation.stops_a_run:
            raise Problems(validation.stops_a_run)

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        run_id = self.run_id
        kind = "dry run" if self.dry_run else "run"
        log.info("%s %s begins, as of %s", kind, run_id, self.as_of)
        if not self.dry_run:
            runs.begin(
                self.ledger,
                run_id=run_id,
                as_of=self.as_of,
                source=self.report.source,
                started_by=self.started_by,
            )
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


def keep_to_one_source(settings: Settings) -> None:
    """Mark the state folder with its source's kind, and refuse another; dry runs too pull.

    Raises InputError.
    """
    mark = settings.state_dir / "source"
    kind = settings.source.kind
    if not mark.exists():
        mark.write_text(f"{kind}\n", encoding="utf-8")
    recorded_kind = mark.read_text(encoding="utf-8").strip()
    if recorded_kind != kind:
        runs.refuse_mixing(recorded_kind, kind)


def _tell(settings: Settings, subject: str, error: Exception) -> None:
    _notify(settings, f"The daily run {subject}: {_first_line(error)}", str(error))


def _notify(settings: Settings, subject: str, text: str) -> None:
    body = f"{text}\n\nState folder: {settings.state_dir}\n"
    problems = notify(settings, subject=subject, body=body)
    for problem in problems:
        log.warning("%s", problem)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
