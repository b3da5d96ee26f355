"""The `lifecycle` command: the doorstep, and the only part of `lifecycle` that knows `flows`.

Standard output carries the answer, standard error everything else. What a command needs is
imported when it runs: a help text must not wait for a warehouse.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from lifecycle.errors import InputError, LifecycleError, Problems

if TYPE_CHECKING:
    from lifecycle.insight.document import Document
    from lifecycle.ledger.store import Ledger
    from lifecycle.settings import Settings

app = typer.Typer(
    name="lifecycle",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Customer lifecycle automation: one gated daily run, and what it did and why.",
)

AsJson = Annotated[
    bool,
    typer.Option(
        "--json", metavar="", help="Print one JSON object, and nothing else, to standard output."
    ),
]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="TIME",
        help="See the world as it was then: '2011-12-09 13:00 UTC', '2026-06-10T10:00+09:00' or a "
        "day. Without a zone it is UTC.",
    ),
]

By = Annotated[str, typer.Option(metavar="WHO", help="Who says so: a name or a ticket.")]
Why = Annotated[str, typer.Option(metavar="TEXT", help="Why; it is written down.")]


class SourceKind(StrEnum):
    """Where CRM and usage data come from."""

    demo = "demo"
    files = "files"


@dataclass(frozen=True)
class Doorstep:
    """What was said before the command."""

    config: Path | None

    def settings(self, **override: Any) -> Settings:
        """The settings; from here on a failure leaves its traceback in the state folder."""
        from lifecycle import settings

        loaded = settings.load(self.config, **override)
        _failures.log = loaded.state_dir / "logs" / "lifecycle.log"
        return loaded

    @contextmanager
    def ledger(self) -> Iterator[tuple[Settings, Ledger]]:
        """The settings and the open ledger."""
        from lifecycle.ledger.store import Ledger

        settings = self.settings()
        with Ledger.open(settings.ledger_url) as ledger:
            yield settings, ledger


@dataclass
class _Failures:
    """Where the traceback of a failure goes, as soon as that is known."""

    log: Path | None = None


_failures = _Failures()


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"lifecycle {version('lifecycle')}")
        raise typer.Exit


@app.callback()
def _before(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="The lifecycle.toml to use; else LIFECYCLE_CONFIG, else the one in this folder.",
            show_default=False,
        ),
    ] = None,
    _: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", callback=_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    context.obj = Doorstep(config)


@app.command()
def run(
    context: typer.Context,
    as_of: AsOf = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            metavar="",
            help="Decide, but write nothing to the ledger and send nothing.",
        ),
    ] = False,
    source: Annotated[
        SourceKind | None,
        typer.Option(help="Where CRM and usage data come from; else as lifecycle.toml says."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the whole pipeline once: pull, gate, build, gate, publish, plan, deliver, report."""
    from lifecycle.insight.watching import Watching
    from lifecycle.run import parse_as_of, watcher

    settings = context.obj.settings(**({"source": {"kind": source.value}} if source else {}))
    if as_of is not None:
        parse_as_of(as_of)
    watching = Watching()
    watcher.set(watching)
    try:
        with watching, _prefect(settings):
            from flows.lifecycle_run import lifecycle_run

            lifecycle_run(
                as_of=as_of,
                dry_run=dry_run,
                source=source.value if source else None,
                config=_path(context.obj.config),
            )
    except Exception:
        if watching.report is not None:
            if as_json:
                _print_json(watching.report.as_json())
            typer.echo(f"Report: {watching.report.path(settings.reports_dir)}", err=True)
        raise
    assert watching.report is not None
    _show(watching.report.as_json, watching.report.as_document, as_json)


@app.command()
def deliver(context: typer.Context, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Send the planned mails whose moment has come. Safe at any time, also during a run."""
    from lifecycle.insight.watching import Watching
    from lifecycle.run import parse_as_of, watcher

    settings = context.obj.settings()
    if as_of is not None:
        parse_as_of(as_of)
    watching = Watching()
    watcher.set(watching)
    with watching, _prefect(settings):
        from flows.deliver_due import deliver_due
        from lifecycle.insight.delivery import DeliveryReport

        done = DeliveryReport.from_json(deliver_due(config=_path(context.obj.config), as_of=as_of))
    _show(done.as_json, lambda: done.as_document(settings.company.time_zone), as_json)


@app.command()
def preview(
    context: typer.Context,
    trigger: Annotated[
        str, typer.Argument(metavar="TRIGGER", help="The trigger's name: its file without .yaml.")
    ],
    as_of: AsOf = None,
    every_mail: Annotated[
        bool,
        typer.Option(
            "--every-mail", metavar="", help="Show each mail, not one of each step and language."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write every mail and a list of them to a new folder."),
    ] = None,
    send_to: Annotated[
        str | None,
        typer.Option(
            metavar="ME", help="Mail what is shown to yourself, marked as a preview; nobody else."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show exactly who would get what from a trigger. No customer is mailed."""
    from lifecycle.insight.preview import colleague, preview
    from lifecycle.insight.preview_folder import check_folder, write_folder
    from lifecycle.run import delivery_clock

    with context.obj.ledger() as (settings, ledger):
        if out is not None:
            check_folder(out)
        me = colleague(settings, ledger, send_to) if send_to is not None else None
        moment = delivery_clock(settings, ledger, as_of)
        seen = preview(settings, ledger, trigger, as_of=moment, every_mail=every_mail)
    if out is not None:
        write_folder(seen, out)
    if me is not None:
        seen = seen.send_to(settings, me)
    _show(seen.as_json, seen.as_document, as_json)
    seen.check_sent()


@app.command()
def owners(context: typer.Context, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Show what each account owner is told today. Nothing is written or sent."""
    from lifecycle.insight.owners import owners
    from lifecycle.run import delivery_clock

    with context.obj.ledger() as (settings, ledger):
        seen = owners(settings, ledger, as_of=delivery_clock(settings, ledger, as_of))
    _show(seen.as_json, seen.as_document, as_json)


@app.command()
def effect(
    context: typer.Context,
    trigger: Annotated[
        str | None, typer.Argument(metavar="TRIGGER", help="One trigger; else all of them.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what mails changed: those reached beside those held out, for each version."""
    from lifecycle.insight.effect import effect

    found = effect(context.obj.settings(), trigger)
    _show(found.as_json, found.as_document, as_json)


@app.command("score-report")
def score_report(
    context: typer.Context,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the page goes; else the reports' folder."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Hold every score version against who then left. Status 1: the newest one is worse."""
    from lifecycle.insight.score_report import score_report

    settings = context.obj.settings()
    report = score_report(settings, progress=lambda text: typer.echo(f"{text} …", err=True))
    report.write(out or settings.reports_dir)
    _show(report.as_json, report.as_document, as_json)
    if report.verdict:
        typer.echo(f"lifecycle: {report.verdict}", err=True)
        raise typer.Exit(1)


@app.command()
def explain(
    context: typer.Context,
    account: Annotated[
        str, typer.Argument(metavar="ACCOUNT", help="The account's id, its name, or a part of it.")
    ],
    trigger: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="One trigger alone, with each of its rules as a tree."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell an account's story: how it stands, and which mails it got or did not, and why."""
    from lifecycle.insight.explain import explain
    from lifecycle.run import delivery_clock

    with context.obj.ledger() as (settings, ledger):
        moment = delivery_clock(settings, ledger)
        story = explain(settings, ledger, account, only=trigger, as_of=moment)
    _show(story.as_json, story.as_document, as_json)


@app.command()
def validate(context: typer.Context, as_json: AsJson = False) -> None:
    """Check settings, triggers, mails and expectations, and name everything that is wrong."""
    from lifecycle.insight.validate import validate

    found = validate(context.obj.settings())
    if as_json or not found.problems:
        _show(found.as_json, found.as_document, as_json)
    if found.problems:
        raise Problems(found.problems)


class Memory(StrEnum):
    """What a simulation's ledger knows at its beginning."""

    empty = "empty"
    copy = "copy"


@app.command()
def simulate(
    context: typer.Context,
    first: Annotated[str, typer.Option("--from", metavar="DAY", help="The first day.")],
    last: Annotated[str, typer.Option("--to", metavar="DAY", help="The last day; it is in it.")],
    at: Annotated[
        str, typer.Option(metavar="HH:MM", help="When the run of each day is, by our clock.")
    ] = "06:00",
    against: Annotated[
        str | None,
        typer.Option(
            metavar="GIT_REF", help="Compare with the files of a branch, a tag or a commit."
        ),
    ] = None,
    triggers: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Compare with the changed triggers in this folder.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    ledger: Annotated[
        Memory,
        typer.Option(help="Begin with nobody mailed yet, or with a copy of what the ledger knows."),
    ] = Memory.empty,
    as_json: AsJson = False,
) -> None:
    """Replay past days and show what would have been sent. Nothing is sent or changed."""
    from lifecycle.git_ref import variant_at
    from lifecycle.insight.simulation import simulate
    from lifecycle.insight.watching import counting
    from lifecycle.planning.replay import days_between, time_of_day
    from lifecycle.settings import file_of
    from lifecycle.variant import Variant

    if against is not None and triggers is not None:
        raise InputError("--against and --triggers: compare with one of them")
    days, moment = days_between(first, last), time_of_day(at)
    with ExitStack() as stack:
        settings, real = stack.enter_context(context.obj.ledger())
        variants = [Variant.here(settings)]
        if against is not None:
            config = file_of(context.obj.config)
            variants.insert(0, stack.enter_context(variant_at(against, settings, config)))
        if triggers is not None:
            variants.append(Variant.read(str(triggers), settings, folder=triggers))
        done = stack.enter_context(counting("simulating", len(days)))
        with redirect_stdout(sys.stderr):
            found = simulate(
                settings,
                real,
                variants,
                days=days,
                at=moment,
                memory=ledger.value,
                progress=done,
            )
    _show(found.as_json, found.as_document, as_json)


@app.command()
def diff(
    context: typer.Context,
    ref: Annotated[
        str, typer.Argument(metavar="GIT_REF", help="What to compare with: a branch, a commit.")
    ],
    markdown: Annotated[
        bool, typer.Option("--markdown", metavar="", help="Write Markdown, for a pull request.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show whom the changes since a commit reach today, and what they get. Nothing is sent."""
    from lifecycle.git_ref import variant_at
    from lifecycle.insight.diff import diff
    from lifecycle.settings import file_of
    from lifecycle.variant import Variant

    if markdown and as_json:
        raise InputError("--markdown and --json: ask for one of them")
    config = file_of(context.obj.config)
    with (
        context.obj.ledger() as (settings, ledger),
        variant_at(ref, settings, config) as before,
        redirect_stdout(sys.stderr),
    ):
        found = diff(settings, ledger, before, Variant.here(settings))
    if markdown:
        typer.echo(found.as_markdown())
        return
    _show(found.as_json, found.as_document, as_json)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a trigger file: it is kept as triggers/trigger.schema.json."""
    from lifecycle.triggers.model import json_schema

    _print_json(json_schema())


@app.command()
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the last runs, the queue, and what waits for a person."""
    from lifecycle.insight.status import status
    from lifecycle.run import delivery_clock

    with context.obj.ledger() as (settings, ledger):
        found = status(settings, ledger, as_of=delivery_clock(settings, ledger))
    _show(found.as_json, found.as_document, as_json)


@app.command()
def suppress(
    context: typer.Context,
    whom: Annotated[
        str,
        typer.Argument(
            metavar="ADDRESS", help="The e-mail address, or the id of a mail that it got."
        ),
    ],
    by: By,
    reason: Annotated[
        str, typer.Option(metavar="REASON", help="unsubscribed, bounced, complained or manual.")
    ] = "manual",
    as_json: AsJson = False,
) -> None:
    """Never mail an address again, whatever its account. Mails in the queue are stopped too."""
    from lifecycle.ledger.suppressions import suppress

    with context.obj.ledger() as (_, ledger):
        is_new = suppress(ledger, whom, reason=reason, by=by)
    named = whom.strip().lower()
    reader = named if "@" in named else f"The reader of {named}"
    if as_json:
        _print_json({"address" if "@" in named else "send_id": named, "new": is_new})
    elif is_new:
        typer.echo(f"{reader} is never mailed again.")
    else:
        typer.echo(f"{reader} was not mailed any more already.")


@app.command("sync-feedback")
def sync_feedback(context: typer.Context, as_json: AsJson = False) -> None:
    """Read from the provider who bounced, complained or left. Safe at any time."""
    from lifecycle.mail.sync_feedback import sync_feedback

    with context.obj.ledger() as (settings, ledger):
        found = sync_feedback(settings, ledger)
    if as_json:
        _print_json({"new": found})
    elif found:
        typer.echo("New: " + ", ".join(f"{n:,} {name}" for name, n in found.items()))
    else:
        typer.echo(f"The provider {settings.delivery.provider} keeps no lists to read.")


@app.command("fit-scores")
def fit_scores(context: typer.Context, as_json: AsJson = False) -> None:
    """Fit the parameters of health and dormancy on the last run's data, as a new version."""
    from lifecycle.health.fit import fit_scores
    from lifecycle.insight.fitted import Fitted
    from lifecycle.run import only_one

    settings = context.obj.settings()
    with only_one(settings.state_dir):
        found = Fitted(fit_scores(settings), settings)
    _show(found.as_json, found.as_document, as_json)


@app.command()
def serve(
    context: typer.Context,
    host: Annotated[
        str | None, typer.Option(help="The address to listen on; else as lifecycle.toml says.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="The port; 0 takes any free one.", min=0, max=65535)
    ] = None,
) -> None:
    """Answer unsubscribe links and the provider's events. Put what ends HTTPS before it."""
    from lifecycle.web.server import serve

    with context.obj.ledger() as (settings, ledger):
        serve(
            settings,
            ledger,
            host=host or settings.web.host,
            port=settings.web.port if port is None else port,
            ready=lambda address: typer.echo(f"Listening on {address}", err=True),
        )


@app.command()
def held(context: typer.Context, as_json: AsJson = False) -> None:
    """List the mails that may or may not have left, and that a person has to decide about."""
    from lifecycle.insight.held import held_mails

    with context.obj.ledger() as (_, ledger):
        found = held_mails(ledger)
    _show(found.as_json, found.as_document, as_json)


class Verdict(StrEnum):
    """What becomes of a held mail."""

    resend = "resend"
    give_up = "give_up"


@app.command()
def decide(
    context: typer.Context,
    send_id: Annotated[str, typer.Argument(metavar="SEND", help="As `lifecycle held` lists it.")],
    verdict: Annotated[Verdict, typer.Argument(help="Send it again, or give it up.")],
    by: By,
    why: Why,
    as_json: AsJson = False,
) -> None:
    """Decide about a held mail: send it again, or give it up."""
    from lifecycle.ledger.held import decide

    with context.obj.ledger() as (_, ledger):
        decide(ledger, send_id, verdict.value, by=by, why=why)
    if as_json:
        _print_json({"send_id": send_id, "verdict": verdict.value})
    else:
        goes = "goes again at its window's next opening" if verdict == "resend" else "is given up"
        typer.echo(f"{send_id} {goes}.")


ARun = Annotated[str, typer.Argument(metavar="RUN", help="As `lifecycle status` names it.")]


@app.command()
def approve(context: typer.Context, run: ARun, by: By, why: Why, as_json: AsJson = False) -> None:
    """Let the mails of a run go that reaches more people than its budget."""
    from lifecycle.ledger import approvals

    with context.obj.ledger() as (_, ledger):
        mails = approvals.approve(ledger, run, by=by, why=why)
    told = f"{run} is approved: {mails} mails go with the next delivery, at their hour."
    _say(told, {"run_id": run, "decision": "approved", "mails": mails}, as_json)


@app.command()
def reject(context: typer.Context, run: ARun, by: By, why: Why, as_json: AsJson = False) -> None:
    """Cancel the mails of a run over its budget, and end what it began."""
    from lifecycle.ledger import approvals
    from lifecycle.run import delivery_clock

    with context.obj.ledger() as (settings, ledger):
        now = delivery_clock(settings, ledger)
        done = approvals.reject(ledger, run, now=now, by=by, why=why)
    told = f"{run} is rejected: {done.mails} mails were cancelled, {done.accounts} accounts left."
    answer = {"run_id": run, "decision": "rejected", "mails": done.mails, "accounts": done.accounts}
    _say(told, answer, as_json)


ATrigger = Annotated[
    str, typer.Argument(metavar="TRIGGER", help="The trigger's name: its file without .yaml.")
]
AnAccount = Annotated[
    str, typer.Argument(metavar="ACCOUNT", help="The account's id, its name, or a part of it.")
]


@app.command()
def pause(
    context: typer.Context, trigger: ATrigger, by: By, why: Why, as_json: AsJson = False
) -> None:
    """Stop a trigger where it stands: nobody enters, its mails wait, and may become too late."""
    from lifecycle.insight.find import trigger_name
    from lifecycle.ledger import controls

    with context.obj.ledger() as (settings, ledger):
        controls.pause(ledger, trigger_name(settings, ledger, trigger), by=by, why=why)
    told = f"{trigger} is paused: nobody enters, and its mails stay where they are."
    _say(told, {"trigger": trigger, "mode": "paused"}, as_json)


@app.command()
def off(
    context: typer.Context, trigger: ATrigger, by: By, why: Why, as_json: AsJson = False
) -> None:
    """Turn a trigger off: nobody enters any more, and those inside finish."""
    from lifecycle.insight.find import trigger_name
    from lifecycle.ledger import controls

    with context.obj.ledger() as (settings, ledger):
        controls.turn_off(ledger, trigger_name(settings, ledger, trigger), by=by, why=why)
    told = f"{trigger} is off: nobody enters any more, and those inside finish."
    _say(told, {"trigger": trigger, "mode": "off"}, as_json)


@app.command()
def resume(
    context: typer.Context, trigger: ATrigger, by: By, why: Why, as_json: AsJson = False
) -> None:
    """Let a trigger that is paused or off go on. What is too late by now is not sent."""
    from lifecycle.insight.find import trigger_name
    from lifecycle.ledger import controls

    with context.obj.ledger() as (settings, ledger):
        was = controls.resume(ledger, trigger_name(settings, ledger, trigger), by=by, why=why)
    _say(f"{trigger} was {was} and goes on.", {"trigger": trigger, "was": was}, as_json)


@app.command()
def cancel(
    context: typer.Context, trigger: ATrigger, by: By, why: Why, as_json: AsJson = False
) -> None:
    """End all who are inside a trigger, and what is queued for them. Others may still enter."""
    from lifecycle.insight.find import trigger_name
    from lifecycle.ledger import controls
    from lifecycle.run import delivery_clock

    with context.obj.ledger() as (settings, ledger):
        name, now = trigger_name(settings, ledger, trigger), delivery_clock(settings, ledger)
        done = controls.cancel(ledger, name, now=now, by=by, why=why)
    told = f"{trigger}: {done.accounts} accounts left it, {done.mails} mails were cancelled."
    answer = {"trigger": trigger, "accounts": done.accounts, "mails": done.mails}
    _say(told, answer, as_json)


@app.command()
def hold(
    context: typer.Context,
    account: AnAccount,
    until: Annotated[
        str, typer.Option(metavar="DAY", help="The first day on which mail may go: 2026-12-01.")
    ],
    by: By,
    why: Why,
    as_json: AsJson = False,
) -> None:
    """Send an account nothing until a day: an open incident, a negotiation."""
    from lifecycle.insight.find import account_id
    from lifecycle.ledger import controls
    from lifecycle.run import day_begins, delivery_clock

    with context.obj.ledger() as (settings, ledger):
        moment = day_begins(settings, until, after=delivery_clock(settings, ledger))
        found = account_id(settings, ledger, account)
        controls.hold(ledger, found, until=moment, by=by, why=why)
    answer = {"account_id": found, "until": moment.isoformat()}
    _say(f"{found} is on hold: nothing goes to it before {until}.", answer, as_json)


@app.command()
def unhold(
    context: typer.Context, account: AnAccount, by: By, why: Why, as_json: AsJson = False
) -> None:
    """End an account's hold early. What is too late by now is not sent."""
    from lifecycle.insight.find import account_id
    from lifecycle.ledger import controls
    from lifecycle.run import delivery_clock

    with context.obj.ledger() as (settings, ledger):
        found = account_id(settings, ledger, account)
        controls.unhold(ledger, found, now=delivery_clock(settings, ledger), by=by, why=why)
    _say(f"{found} is not on hold any more.", {"account_id": found}, as_json)


@app.command()
def erase(
    context: typer.Context,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The e-mail address.")],
    by: By,
    why: Why = "asked for",
    as_json: AsJson = False,
) -> None:
    """Remove a person everywhere; only a keyed hash stays, so that they are never mailed again."""
    from lifecycle.erasure import erase
    from lifecycle.run import only_one

    with context.obj.ledger() as (settings, ledger), only_one(settings.state_dir):
        gone = erase(settings, ledger, address, by=by, why=why)
    if as_json:
        _print_json({"mails": gone.mails, "rows": gone.rows})
    else:
        typer.echo(
            f"Erased: {gone.mails} stored mails, {gone.rows} rows of the warehouse. Erase the "
            "person in the CRM too: what it exports comes back, though it is never mailed."
        )


@app.command()
def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes.")],
    as_json: AsJson = False,
) -> None:
    """Copy the ledger into one file, also while a run is going on."""
    from lifecycle.ledger.backup import back_up

    with context.obj.ledger() as (_, ledger):
        rows = back_up(ledger, file)
    if as_json:
        _print_json({"file": str(file), "rows": rows})
    else:
        typer.echo(f"{file}: {rows} rows.")


@app.command()
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    by: By,
    why: Why,
    as_json: AsJson = False,
) -> None:
    """Fill an empty ledger from a backup. What may have left since is uncertain at first."""
    from lifecycle.ledger.backup import restore

    with context.obj.ledger() as (_, ledger):
        doubtful = restore(ledger, file, by=by, why=why)
    if as_json:
        _print_json({"file": str(file), "uncertain": doubtful})
    else:
        typer.echo(f"Restored. {doubtful} mails may have left since and wait for evidence.")


def main() -> NoReturn:
    """The console script. The exit status says how it ended: see lifecycle/errors.py."""
    try:
        app()
    except LifecycleError as error:
        _fail(error, error.exit_status)
    except KeyboardInterrupt:
        typer.echo("Interrupted. Run again to go on: nothing is sent twice.", err=True)
        sys.exit(130)
    except Exception as error:
        _fail(error, 1)
    sys.exit(0)


def _fail(error: Exception, exit_status: int) -> NoReturn:
    """Say what is wrong; where that is not all, keep the traceback for an engineer."""
    told = str(error)
    if not isinstance(error, LifecycleError):
        told = f"{type(error).__name__}: {error}"
    typer.echo(f"lifecycle: {told}", err=True)
    says_all = isinstance(error, LifecycleError) and error.says_all
    if not says_all and _failures.log is not None:
        import traceback
        from datetime import UTC, datetime

        _failures.log.parent.mkdir(parents=True, exist_ok=True)
        with _failures.log.open("a", encoding="utf-8") as log:
            log.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC {' '.join(sys.argv[1:])}\n")
            log.writelines(traceback.format_exception(error))
        typer.echo(f"Traceback: {_failures.log}", err=True)
    sys.exit(exit_status)


@contextmanager
def _prefect(settings: Settings) -> Iterator[None]:
    """Prefect as a guest: at home in the state folder, silent, and gone with the command."""
    from flows.local_api import LocalApi, prepare

    prepare(settings.state_dir)
    api = LocalApi(settings.state_dir)
    # Whatever a library prints, standard output is for the answer.
    with redirect_stdout(sys.stderr):
        import flows.stages  # noqa: F401  (seconds, while the API starts)

        _log_quietly(settings.state_dir / "logs")
        api.wait()
        yield


def _log_quietly(folder: Path) -> None:
    """Warnings and errors of libraries go into a file; what matters is told by our own words."""
    folder.mkdir(parents=True, exist_ok=True)
    file = logging.handlers.RotatingFileHandler(
        folder / "lifecycle.log", maxBytes=1_000_000, backupCount=3, encoding="utf-8"
    )
    file.setLevel(logging.WARNING)
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(file)
    logging.captureWarnings(True)


def _show(
    as_data: Callable[[], dict[str, Any]], as_document: Callable[[], Document], as_json: bool
) -> None:
    if as_json:
        _print_json(as_data())
        return
    from rich.console import Console

    from lifecycle.insight.document import as_rich, as_text

    console = Console(highlight=False)
    if console.is_terminal:
        console.print(as_rich(as_document()), crop=False)
    else:
        typer.echo(as_text(as_document(), width=console.width), nl=False)


def _say(told: str, as_data: dict[str, Any], as_json: bool) -> None:
    """What a command did: a sentence for a person, or an object for a machine."""
    if as_json:
        _print_json(as_data)
    else:
        typer.echo(told)


def _print_json(value: dict[str, Any]) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def _path(config: Path | None) -> str | None:
    return str(config.absolute()) if config else None


if __name__ == "__main__":
    main()
