"""Commands about single mails: which ones wait for a person, and what a person decides."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from lifecycle.cli.app import AsJson, By, Why, app, say, show

if TYPE_CHECKING:
    from lifecycle.ledger.held import Which
    from lifecycle.settings import Settings

LOOK, DECIDE = "See what happened, and why", "Decide"

OfTrigger = Annotated[
    str | None, typer.Option("--trigger", metavar="TRIGGER", help="Only of this trigger.")
]
OfRun = Annotated[
    str | None, typer.Option("--run", metavar="RUN", help="Only those that this run planned.")
]
OlderThan = Annotated[
    str | None,
    typer.Option("--older-than", metavar="SPAN", help="Only held for longer: 12h or 3d."),
]


@app.command(rich_help_panel=LOOK)
def held(
    context: typer.Context,
    trigger: OfTrigger = None,
    run: OfRun = None,
    older_than: OlderThan = None,
    as_json: AsJson = False,
) -> None:
    """List held mails: nothing proves whether they left, so a person decides."""
    from lifecycle.status.held_mails import held_mails

    with context.obj.ledger() as (_, ledger):
        mails = held_mails(ledger, _which(trigger=trigger, run=run, older_than=older_than))
    show(mails.as_json, mails.as_document, as_json)


@app.command(rich_help_panel=LOOK)
def answers(context: typer.Context, as_json: AsJson = False) -> None:
    """List answers that nobody has answered yet, and messages that fit no mail of ours alone."""
    from lifecycle.status.open_answers import open_answers

    with context.obj.ledger() as (settings, ledger):
        listed = open_answers(settings, ledger)
    show(listed.as_json, listed.as_document, as_json)


@app.command(rich_help_panel=DECIDE)
def answered(
    context: typer.Context,
    answer: Annotated[
        str, typer.Argument(metavar="ANSWER", help="As `lifecycle answers` lists it.")
    ],
    by: By,
    why: Why,
    as_json: AsJson = False,
) -> None:
    """Say that somebody has answered a customer's answer, or has looked at a message."""
    from lifecycle.ledger import replies

    with context.obj.ledger() as (_, ledger):
        replies.settle(ledger, answer.strip().lower(), by=by, why=why)
    say(f"{answer} is settled.", {"answer": answer}, as_json)


class Verdict(StrEnum):
    """What a person decides about a held mail."""

    resend = "resend"
    give_up = "give_up"


@app.command(rich_help_panel=DECIDE)
def decide(
    context: typer.Context,
    verdict: Annotated[
        list[str],
        typer.Argument(
            metavar="[SEND]... resend|give_up",
            help="The mails as `lifecycle held` lists them, or options that say which; and last "
            "what becomes of them: send again, or give up.",
        ),
    ],
    by: By,
    why: Why,
    trigger: OfTrigger = None,
    run: OfRun = None,
    older_than: OlderThan = None,
    every: Annotated[bool, typer.Option("--all", metavar="", help="All held mails.")] = False,
    as_json: AsJson = False,
) -> None:
    """Decide what happens to held mails: send them again, or give them up."""
    from lifecycle.document import counted
    from lifecycle.errors import InputError, did_you_mean
    from lifecycle.ledger.held import decide_all

    *send_ids, word = verdict
    if word not in list(Verdict):
        near = did_you_mean(word, list(Verdict)) or "it is resend or give_up"
        raise InputError(f"{word!r} is no decision and has to stand last; {near}")
    asked = any(option is not None for option in (trigger, run, older_than))
    if bool(send_ids) + asked + every != 1:
        raise InputError("name the mails, or say which by --trigger, --run, --older-than or --all")
    which = _which(send_ids, trigger=trigger, run=run, older_than=older_than)
    with context.obj.ledger() as (_, ledger):
        mails = decide_all(ledger, which, Verdict(word).value, by=by, why=why)
    goes = "goes again at its window's next opening"
    sentence = f"{counted(mails, 'held mail')}: each {goes if word == 'resend' else 'is given up'}."
    if not mails:
        sentence = (
            "No mail that you name waits for a decision; `lifecycle held` lists those that do."
        )
    result: dict[str, object] = {"mails": mails, "verdict": word}
    if mails and len(send_ids) == 1:
        sentence = f"{send_ids[0]} {goes if word == 'resend' else 'is given up'}."
        result["send_id"] = send_ids[0]
    say(sentence, result, as_json)


@app.command(rich_help_panel=DECIDE)
def retry(
    context: typer.Context,
    by: By,
    why: Why,
    trigger: OfTrigger = None,
    run: OfRun = None,
    reason: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Only where the provider's answer says this: 403."),
    ] = None,
    day: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="Only those that were refused on this day: 2026-12-01."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", metavar="", help="All rejected mails.")] = False,
    as_json: AsJson = False,
) -> None:
    """Queue mails again that the provider refused by mistake: a wrong sender, a new key.

    They go at their window's next opening, however late, and are checked as every mail is. An
    address that bounced stays suppressed.
    """
    from lifecycle.document import counted
    from lifecycle.errors import InputError
    from lifecycle.ledger import held

    asked = any(option is not None for option in (trigger, run, reason, day))
    if asked == every:
        raise InputError("say which mails: --trigger, --run, --reason, --day, or else --all")
    with context.obj.ledger() as (settings, ledger):
        which = _which(trigger=trigger, run=run, reason=reason, day=day, settings=settings)
        mails = held.retry(ledger, which, by=by, why=why)
    sentence = f"{counted(mails, 'refused mail')}: each goes again at its window's next opening."
    say(sentence, {"mails": mails}, as_json)


def _which(
    send_ids: list[str] | None = None,
    *,
    trigger: str | None = None,
    run: str | None = None,
    older_than: str | None = None,
    reason: str | None = None,
    day: str | None = None,
    settings: Settings | None = None,
) -> Which:
    """The mails that the options mean. Raises InputError for a span or a day that is none."""
    from lifecycle.days import bounds_of, span
    from lifecycle.ledger.held import Which

    since = until = None
    if older_than is not None:
        until = datetime.now(UTC) - span("older-than", older_than)
    if day is not None and settings is not None:
        since, until = bounds_of("day", day, settings.company.time_zone)
    return Which(tuple(send_ids or ()), trigger, run, reason, since, until)
