"""Commands that run the pipeline, its delivery, and the services beside them.

Only this module of `lifecycle` imports `flows`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lifecycle.cli import answer
from lifecycle.cli.app import AsJson, AsOf, app, exit_at_once, say, show
from lifecycle.errors import LifecycleError, PrefectEnded

if TYPE_CHECKING:
    from lifecycle.settings import Settings


PANEL = "Run"


class SourceKind(StrEnum):
    """Where CRM and usage data come from."""

    demo = "demo"
    files = "files"


@app.command(rich_help_panel=PANEL)
def run(
    context: typer.Context,
    as_of: AsOf = None,
    delivered: Annotated[
        str | None,
        typer.Option(
            metavar="DAY",
            help="The files are a delivery of that day, and count as known from it on: to live "
            "through dated exports. Without --as-of the run is as of the end of that day.",
        ),
    ] = None,
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
    from lifecycle.clock import delivered_on, parse_as_of
    from lifecycle.report.progress import RunProgress
    from lifecycle.report.watcher import watcher

    settings = context.obj.settings(**({"source": {"kind": source.value}} if source else {}))
    if as_of is not None:
        parse_as_of(as_of)
    if delivered is not None:
        delivered_on(settings, delivered, as_of)
    progress = RunProgress()
    watcher.set(progress)
    try:
        with progress, _prefect(settings, "flows.lifecycle_run", "lifecycle.authoring.validate"):
            from flows.lifecycle_run import lifecycle_run

            lifecycle_run(
                as_of=as_of,
                dry_run=dry_run,
                source=source.value if source else None,
                config=context.obj.config_path,
                delivered=delivered,
            )
    except PrefectEnded as error:
        if progress.report is None:
            raise
        typer.echo(f"lifecycle: {error}.\nThe run itself is whole.", err=True)
    except Exception:
        if progress.report is not None:
            if as_json:
                answer.write_json(progress.report.as_json())
            typer.echo(f"Report: {progress.report.path(settings.reports_dir)}", err=True)
        raise
    assert progress.report is not None
    show(progress.report.as_json, progress.report.as_document, as_json)


@app.command(rich_help_panel=PANEL)
def deliver(context: typer.Context, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Send the planned mails that are due. Safe at any time, also during a run."""
    from lifecycle.clock import parse_as_of
    from lifecycle.report.progress import RunProgress
    from lifecycle.report.watcher import watcher

    settings = context.obj.settings()
    if as_of is not None:
        parse_as_of(as_of)
    progress = RunProgress()
    watcher.set(progress)
    with progress, _prefect(settings, "flows.deliver_due"):
        from flows.deliver_due import deliver_due
        from lifecycle.report.delivery_report import DeliveryReport

        done = DeliveryReport.from_json(deliver_due(config=context.obj.config_path, as_of=as_of))
    show(done.as_json, lambda: done.as_document(settings.company.time_zone), as_json)


@app.command("sync-feedback", rich_help_panel=PANEL)
def sync_feedback(context: typer.Context, as_json: AsJson = False) -> None:
    """Read what came back: the provider's lists, and the mailbox. Safe at any time."""
    from lifecycle.logs import write_log
    from lifecycle.mailbox.sync import sync

    with context.obj.ledger() as (settings, ledger):
        write_log(settings.state_dir / "logs")
        new_facts = sync(settings, ledger)
    if as_json:
        answer.write_json({"new": new_facts})
    elif new_facts:
        answer.write("New: " + ", ".join(f"{n:,} {name}" for name, n in new_facts.items()))
    else:
        provider = settings.delivery.provider
        answer.write(f"The provider {provider} keeps no lists to read, and there is no [mailbox].")


@app.command("fit-scores", rich_help_panel=PANEL)
def fit_scores(
    context: typer.Context,
    accept: Annotated[
        str,
        typer.Option(
            metavar="VERSION",
            help="Fit nothing; put this version in force from the next day on: one that was held, "
            "or an earlier one. With --by and --why.",
        ),
    ] = "",
    by: Annotated[str, typer.Option(metavar="WHO", help="Who accepts: a name or a ticket.")] = "",
    why: Annotated[
        str, typer.Option(metavar="TEXT", help="The reason; it is kept with the version.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Fit the parameters of health and dormancy on the last run's data; store a new version.

    A version that would leave a band empty, or move too many accounts to another band, is held
    until a person accepts it.
    """
    from lifecycle.evaluation.fit_report import Fitted
    from lifecycle.health.acceptance import accept_version
    from lifecycle.health.fit import fit_scores
    from lifecycle.logs import write_log
    from lifecycle.state_lock import only_one

    if bool(accept) != bool(by.strip() and why.strip()) or (not accept and (by or why)):
        raise typer.BadParameter("--accept VERSION, --by WHO and --why TEXT go together")
    settings = context.obj.settings()
    write_log(settings.state_dir / "logs")
    if accept:
        with only_one(settings.state_dir):
            accepted = accept_version(settings, accept, by=by, why=why)
        sentence = f"{accept} is in force from the next day on ({by}: {why})."
        data = {"version": accept, "by": by, "why": why}
        say(sentence, {**data, "accepted_at": accepted.accepted_at.isoformat()}, as_json)
        return
    with only_one(settings.state_dir):
        fitted = Fitted(fit_scores(settings), settings)
    show(fitted.as_json, fitted.as_document, as_json)


@app.command(rich_help_panel=PANEL)
def backfill(
    context: typer.Context,
    first: Annotated[str, typer.Option("--from", metavar="DAY", help="The first day.")],
    last: Annotated[str, typer.Option("--to", metavar="DAY", help="The last day; it is in it.")],
    at: Annotated[
        str,
        typer.Option(
            metavar="HH:MM", help="The time of each day's run, in the company's time zone."
        ),
    ] = "06:00",
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            metavar="",
            help="Build the days of an earlier backfill anew; to continue an interrupted backfill, "
            "leave it out.",
        ),
    ] = False,
    deliveries: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Dated exports, a folder of files a day (2026-06-10): each counts as known from "
            "its day on.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the history of past days, as a run on each day would have. Nothing is sent.

    Before the first run it loads the data itself, from dated exports where you name them. You can
    interrupt it at any moment: the same command continues with the first missing day. Days that a
    run wrote are refused.
    """
    from lifecycle.clock import moment_of
    from lifecycle.days import days_between, time_of_day
    from lifecycle.report.backfill_report import BackfillReport
    from lifecycle.report.progress import RunProgress, counting
    from lifecycle.run import keep_to_one_source
    from lifecycle.state_lock import only_one
    from lifecycle.warehouse.backfill import backfill
    from lifecycle.warehouse.load import load, load_dated

    settings = context.obj.settings()
    days, moment = days_between(first, last), time_of_day(at)
    with only_one(settings.state_dir):
        keep_to_one_source(settings)
        if deliveries is not None:
            with RunProgress() as progress:
                load_dated(
                    settings,
                    deliveries,
                    until=days[-1],
                    at=moment,
                    stage=progress.stage,
                    progress=progress.step,
                )
        elif not settings.published_db.exists():
            with RunProgress() as progress:
                now = moment_of(settings)
                load(settings, now=now, stage=progress.stage, progress=progress.step)
        with counting("backfilling", len(days)) as done:
            report = BackfillReport(
                backfill(settings, days, at=moment, again=again, progress=done), settings
            )
    show(report.as_json, report.as_document, as_json)


@app.command(rich_help_panel=PANEL)
def serve(
    context: typer.Context,
    host: Annotated[
        str | None, typer.Option(help="The address to listen on; else as lifecycle.toml says.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="The port; 0 takes any free one.", min=0, max=65535)
    ] = None,
    internal_port: Annotated[
        int | None,
        typer.Option(
            help="The port of /metrics and /healthz; 0 takes any free one.", min=0, max=65535
        ),
    ] = None,
) -> None:
    """Serve unsubscribe links and the provider's events. Run it behind a reverse proxy with TLS.

    It also serves /metrics and /healthz, on an address that only this machine reaches.
    """
    from lifecycle.erasure import check_key
    from lifecycle.web.server import serve

    with context.obj.ledger() as (settings, ledger):
        check_key(settings, ledger)
        serve(
            settings,
            ledger,
            host=host or settings.web.host,
            port=settings.web.port if port is None else port,
            internal_port=(
                settings.serve.internal_port if internal_port is None else internal_port
            ),
            ready=lambda public, internal: typer.echo(
                f"Listening on {public}\nInternally on {internal} (/metrics, /healthz)", err=True
            ),
        )


@contextmanager
def _prefect(settings: Settings, *needed: str) -> Iterator[None]:
    """Run Prefect's API inside the command: its files in the state folder, no output, ended with
    it.

    Importing `needed` takes seconds; it is done while Prefect's API starts.
    """
    from flows.api import prepare
    from flows.local_api import LocalApi
    from lifecycle.logs import write_log

    prepare(settings.state_dir)
    logging.raiseExceptions = False  # a log that nobody takes any more is no news on the terminal
    api = LocalApi(settings.state_dir)
    for module in needed:
        import_module(module)
    write_log(settings.state_dir / "logs")
    api.wait()
    try:
        yield
    except LifecycleError:
        raise
    except Exception as error:
        if not api.has_ended:
            raise
        raise PrefectEnded(
            "Prefect's API ended during the command; its log is "
            f"{settings.state_dir / 'logs' / 'prefect.log'}. `lifecycle status` shows how far the "
            "command came. Run it again to go on: nothing is sent twice"
        ) from error
    finally:
        if api.has_ended:
            exit_at_once()  # Prefect would wait minutes for an API that hears nothing more
