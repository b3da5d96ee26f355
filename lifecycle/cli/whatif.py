"""Commands to try a trigger before it goes live: validate, preview, simulate, diff."""

from __future__ import annotations

from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lifecycle.cli import answer
from lifecycle.cli.app import AsJson, AsOf, ATrigger, app, show
from lifecycle.errors import InputError, Problems

PANEL = "Try triggers and mails"


@app.command(rich_help_panel=PANEL)
def validate(context: typer.Context, as_json: AsJson = False) -> None:
    """Check settings, triggers, mails and expectations, and list every problem."""
    from lifecycle.authoring.validate import validate

    validation = validate(context.obj.settings())
    if as_json or not validation.problems:
        show(validation.as_json, validation.as_document, as_json)
    if validation.problems:
        raise Problems(validation.problems)


@app.command(rich_help_panel=PANEL)
def schema() -> None:
    """Print the JSON Schema of a trigger file; keep it as triggers/trigger.schema.json."""
    from lifecycle.triggers.model import json_schema

    answer.write_json(json_schema())


@app.command(rich_help_panel=PANEL)
def preview(
    context: typer.Context,
    trigger: ATrigger,
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
            metavar="ME",
            help="Mail the shown mails to yourself, marked as a preview, and to nobody else.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show exactly who would get which mails from a trigger. No customer is mailed."""
    from lifecycle.clock import delivery_clock
    from lifecycle.whatif.preview import colleague, preview
    from lifecycle.whatif.preview_folder import check_folder, write_folder

    with context.obj.ledger() as (settings, ledger):
        if out is not None:
            check_folder(out)
        me = colleague(settings, ledger, send_to) if send_to is not None else None
        moment = delivery_clock(settings, ledger, as_of)
        previewed = preview(settings, ledger, trigger, as_of=moment, every_mail=every_mail)
    if out is not None:
        write_folder(previewed, out)
    if me is not None:
        previewed = previewed.send_to(settings, me)
    show(previewed.as_json, previewed.as_document, as_json)
    previewed.check_sent()


class Memory(StrEnum):
    """The ledger that a simulation starts with."""

    empty = "empty"
    copy = "copy"


@app.command(rich_help_panel=PANEL)
def simulate(
    context: typer.Context,
    first: Annotated[str, typer.Option("--from", metavar="DAY", help="The first day.")],
    last: Annotated[str, typer.Option("--to", metavar="DAY", help="The last day; it is in it.")],
    at: Annotated[
        str,
        typer.Option(
            metavar="HH:MM", help="The time of each day's run, in the company's time zone."
        ),
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
    from lifecycle.days import days_between, time_of_day
    from lifecycle.report.progress import counting
    from lifecycle.settings import file_of
    from lifecycle.whatif.git_ref import variant_at
    from lifecycle.whatif.simulation_report import simulate
    from lifecycle.whatif.variant import Variant

    if against is not None and triggers is not None:
        raise InputError("--against and --triggers: compare with one of them")
    days, moment = days_between(first, last), time_of_day(at)
    with ExitStack() as stack:
        settings, real = stack.enter_context(context.obj.ledger())
        variants = [Variant.of_working_tree(settings)]
        if against is not None:
            config = file_of(context.obj.config)
            variants.insert(0, stack.enter_context(variant_at(against, settings, config)))
        if triggers is not None:
            variants.append(Variant.read(str(triggers), settings, folder=triggers))
        done = stack.enter_context(counting("simulating", len(days)))
        simulation = simulate(
            settings, real, variants, days=days, at=moment, memory=ledger.value, progress=done
        )
    show(simulation.as_json, simulation.as_document, as_json)


@app.command(rich_help_panel=PANEL)
def diff(
    context: typer.Context,
    ref: Annotated[
        str, typer.Argument(metavar="GIT_REF", help="The branch, tag or commit to compare with.")
    ],
    markdown: Annotated[
        bool, typer.Option("--markdown", metavar="", help="Write Markdown, for a pull request.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show which accounts of today a change affects, and what they would get. Nothing is sent."""
    from lifecycle.settings import file_of
    from lifecycle.whatif.diff_report import diff
    from lifecycle.whatif.git_ref import variant_at
    from lifecycle.whatif.variant import Variant

    if markdown and as_json:
        raise InputError("--markdown and --json: ask for one of them")
    config = file_of(context.obj.config)
    with (
        context.obj.ledger() as (settings, ledger),
        variant_at(ref, settings, config) as before,
    ):
        difference = diff(settings, ledger, before, Variant.of_working_tree(settings))
    if markdown:
        answer.write(difference.as_markdown())
        return
    show(difference.as_json, difference.as_document, as_json)
