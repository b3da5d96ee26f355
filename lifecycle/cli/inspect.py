"""Commands that show what happened and why. None of them changes anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lifecycle.cli.app import AnAccount, AsJson, AsOf, app, say, show

PANEL = "See what happened, and why"


@app.command(rich_help_panel=PANEL)
def status(
    context: typer.Context,
    check: Annotated[
        bool,
        typer.Option(
            "--check", metavar="", help="One line for a monitor: ok, or what is wrong (status 1)."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the last runs, the schedules, the queue, and what waits for a person."""
    from lifecycle.clock import delivery_clock
    from lifecycle.status.overview import status

    with context.obj.ledger() as (settings, ledger):
        overview = status(settings, ledger, as_of=delivery_clock(settings, ledger))
    if check:
        say(overview.as_line(), overview.as_check(), as_json)
        raise typer.Exit(1 if overview.alarms else 0)
    show(overview.as_json, overview.as_document, as_json)


@app.command(rich_help_panel=PANEL)
def explain(
    context: typer.Context,
    account: AnAccount,
    trigger: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="One trigger alone, with each of its rules as a tree."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell an account's story: how it stands, and which mails it got or did not, and why."""
    from lifecycle.clock import delivery_clock
    from lifecycle.insight.explain import explain

    with context.obj.ledger() as (settings, ledger):
        moment = delivery_clock(settings, ledger)
        story = explain(settings, ledger, account, only=trigger, as_of=moment)
    show(story.as_json, story.as_document, as_json)


@app.command(rich_help_panel=PANEL)
def owners(context: typer.Context, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Show the list that each account owner gets today. Nothing is written or sent."""
    from lifecycle.clock import delivery_clock
    from lifecycle.whatif.owner_lists import owners

    with context.obj.ledger() as (settings, ledger):
        lists = owners(settings, ledger, as_of=delivery_clock(settings, ledger, as_of))
    show(lists.as_json, lists.as_document, as_json)


@app.command(rich_help_panel=PANEL)
def effect(
    context: typer.Context,
    trigger: Annotated[
        str | None,
        typer.Argument(metavar="TRIGGER", help="One trigger; all triggers where left out."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what mails changed: mailed accounts beside held-out ones, for each trigger version."""
    from lifecycle.evaluation.effect import effect

    effects = effect(context.obj.settings(), trigger)
    show(effects.as_json, effects.as_document, as_json)


@app.command("score-report", rich_help_panel=PANEL)
def score_report(
    context: typer.Context,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the page goes; else the reports' folder."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Validate every score version against actual churn. Status 1: the newest version is worse."""
    from lifecycle.evaluation.score_report import score_report

    settings = context.obj.settings()
    report = score_report(settings, progress=lambda text: typer.echo(f"{text} …", err=True))
    report.write(out or settings.reports_dir)
    show(report.as_json, report.as_document, as_json)
    if report.verdict:
        typer.echo(f"lifecycle: {report.verdict}", err=True)
        raise typer.Exit(1)
