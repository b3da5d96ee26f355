"""Commands by which a person decides. The ledger keeps each decision with who and why."""

from __future__ import annotations

from typing import Annotated

import typer

from lifecycle.cli.app import AnAccount, AsJson, ATrigger, By, Why, app, say

PANEL = "Decide"

ARun = Annotated[str, typer.Argument(metavar="RUN", help="As `lifecycle status` names it.")]


@app.command(rich_help_panel=PANEL)
def pause(
    context: typer.Context, trigger: ATrigger, by: By, why: Why, as_json: AsJson = False
) -> None:
    """Pause a trigger: nobody enters, and its mails wait; a mail that becomes too late expires."""
    from lifecycle.insight.lookup import trigger_name
    from lifecycle.ledger import controls

    with context.obj.ledger() as (settings, ledger):
        controls.pause(ledger, trigger_name(settings, ledger, trigger), by=by, why=why)
    sentence = f"{trigger} is paused: nobody enters, and its mails stay where they are."
    say(sentence, {"trigger": trigger, "mode": "paused"}, as_json)


@app.command(rich_help_panel=PANEL)
def off(
    context: typer.Context, trigger: ATrigger, by: By, why: Why, as_json: AsJson = False
) -> None:
    """Turn a trigger off: nobody enters any more, and those inside finish."""
    from lifecycle.insight.lookup import trigger_name
    from lifecycle.ledger import controls

    with context.obj.ledger() as (settings, ledger):
        controls.turn_off(ledger, trigger_name(settings, ledger, trigger), by=by, why=why)
    sentence = f"{trigger} is off: nobody enters any more, and those inside finish."
    say(sentence, {"trigger": trigger, "mode": "off"}, as_json)


@app.command(rich_help_panel=PANEL)
def resume(
    context: typer.Context, trigger: ATrigger, by: By, why: Why, as_json: AsJson = False
) -> None:
    """Resume a trigger that is paused or off. Mails that are too late by now are not sent."""
    from lifecycle.insight.lookup import trigger_name
    from lifecycle.ledger import controls

    with context.obj.ledger() as (settings, ledger):
        was = controls.resume(ledger, trigger_name(settings, ledger, trigger), by=by, why=why)
    say(f"{trigger} was {was} and goes on.", {"trigger": trigger, "was": was}, as_json)


@app.command(rich_help_panel=PANEL)
def cancel(
    context: typer.Context, trigger: ATrigger, by: By, why: Why, as_json: AsJson = False
) -> None:
    """End every open enrolment of a trigger and cancel its queued mails. Others may still enter."""
    from lifecycle.clock import delivery_clock
    from lifecycle.insight.lookup import trigger_name
    from lifecycle.ledger import controls

    with context.obj.ledger() as (settings, ledger):
        name, now = trigger_name(settings, ledger, trigger), delivery_clock(settings, ledger)
        done = controls.cancel(ledger, name, now=now, by=by, why=why)
    sentence = f"{trigger}: {done.accounts} accounts left it, {done.mails} mails were cancelled."
    answer = {"trigger": trigger, "accounts": done.accounts, "mails": done.mails}
    say(sentence, answer, as_json)


@app.command(rich_help_panel=PANEL)
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
    """Put an account on hold until a day: no mail goes to it (an open incident, a negotiation)."""
    from lifecycle.clock import day_begins, delivery_clock
    from lifecycle.insight.lookup import account_id
    from lifecycle.ledger import controls

    with context.obj.ledger() as (settings, ledger):
        moment = day_begins(settings, until, after=delivery_clock(settings, ledger))
        id_ = account_id(settings, ledger, account)
        controls.hold(ledger, id_, until=moment, by=by, why=why)
    answer = {"account_id": id_, "until": moment.isoformat()}
    say(f"{id_} is on hold: nothing goes to it before {until}.", answer, as_json)


@app.command(rich_help_panel=PANEL)
def unhold(
    context: typer.Context, account: AnAccount, by: By, why: Why, as_json: AsJson = False
) -> None:
    """End an account's hold early. Mails that are too late by now are not sent."""
    from lifecycle.clock import delivery_clock
    from lifecycle.insight.lookup import account_id
    from lifecycle.ledger import controls

    with context.obj.ledger() as (settings, ledger):
        id_ = account_id(settings, ledger, account)
        controls.unhold(ledger, id_, now=delivery_clock(settings, ledger), by=by, why=why)
    say(f"{id_} is not on hold any more.", {"account_id": id_}, as_json)


@app.command(rich_help_panel=PANEL)
def approve(context: typer.Context, run: ARun, by: By, why: Why, as_json: AsJson = False) -> None:
    """Let go what a run waits for: its delivery, mails over its budget, or what would end by it."""
    from lifecycle.clock import delivery_clock
    from lifecycle.ledger import held_deliveries, held_losses
    from lifecycle.planning import approving

    with context.obj.ledger() as (settings, ledger):
        now = delivery_clock(settings, ledger)
        mails = approving.approve(settings, ledger, run, now=now, by=by, why=why)
        is_delivery = held_deliveries.is_held(ledger, run)
        is_loss = held_losses.is_held(ledger, run)
    sentence = f"{run} is approved: {mails} mails go with the next delivery, at their hour."
    if is_delivery:
        sentence = f"{run} is approved: the next `lifecycle run` takes exactly this delivery."
    if is_loss:
        sentence = f"{run} is approved: the next `lifecycle run` ends what it would have ended."
    answer = {
        "run_id": run,
        "decision": "approved",
        "mails": mails,
        "delivery": is_delivery,
        "losses": is_loss,
    }
    say(sentence, answer, as_json)


@app.command(rich_help_panel=PANEL)
def reject(context: typer.Context, run: ARun, by: By, why: Why, as_json: AsJson = False) -> None:
    """Drop what a run waits for: its delivery, or its mails over budget and what they began."""
    from lifecycle.clock import delivery_clock
    from lifecycle.ledger import approvals, held_deliveries, held_losses

    with context.obj.ledger() as (settings, ledger):
        now = delivery_clock(settings, ledger)
        done = approvals.reject(ledger, run, now=now, by=by, why=why)
        is_delivery = held_deliveries.is_held(ledger, run)
        is_loss = held_losses.is_held(ledger, run)
    sentence = (
        f"{run} is rejected: {done.mails} mails were cancelled, {done.accounts} accounts left."
    )
    if is_delivery:
        sentence = f"{run} is rejected: its delivery is dropped, and the next run reads again."
    if is_loss:
        sentence = f"{run} is rejected: nothing ended, and the next run reads again."
    answer = {
        "run_id": run,
        "decision": "rejected",
        "mails": done.mails,
        "accounts": done.accounts,
        "delivery": is_delivery,
        "losses": is_loss,
    }
    say(sentence, answer, as_json)


@app.command(rich_help_panel=PANEL)
def normal(
    context: typer.Context,
    part: Annotated[
        str, typer.Argument(metavar="PART", help='"all" or "segment smb", as a run asked.')
    ],
    by: By,
    why: Why,
    no: Annotated[bool, typer.Option("--no", help="It is a fault: its accounts wait on.")] = False,
    as_json: AsJson = False,
) -> None:
    """Answer whether it is normal now that less comes of a part of the usage feed."""
    from lifecycle.ledger import feed_questions

    with context.obj.ledger() as (_, ledger):
        since = feed_questions.answer(ledger, part, is_normal=not no, by=by, why=why)
    sentence = f"{part}: what has come since {since} is normal; the next run goes by it."
    if no:
        sentence = f"{part}: its accounts wait until it has recovered, and nobody is asked again."
    say(sentence, {"part": part, "since": since.isoformat(), "is_normal": not no}, as_json)


@app.command(rich_help_panel=PANEL)
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
    why: Why = "asked for",
    as_json: AsJson = False,
) -> None:
    """Never mail an address again, whatever its account. Mails in the queue are stopped too."""
    from lifecycle.insight.lookup import address_is_known
    from lifecycle.ledger.suppressions import suppress

    named = whom.strip().lower()
    is_address = "@" in named
    with context.obj.ledger() as (settings, ledger):
        is_new = suppress(ledger, whom, reason=reason, by=by, why=why)
        is_known, like = address_is_known(settings, ledger, named) if is_address else (True, "")
    reader = named if is_address else f"The reader of {named}"
    sentence = (
        f"{reader} {'is never mailed again' if is_new else 'was not mailed any more already'}."
    )
    if is_known is False:
        sentence += " But no contact, account owner or mail has this address: is it written right?"
        sentence += f" There is {like}." if like else ""
    result = {"address" if is_address else "send_id": named, "new": is_new}
    say(sentence, {**result, "known": is_known, "like": like or None}, as_json)


@app.command(rich_help_panel=PANEL)
def unsuppress(
    context: typer.Context,
    by: By,
    why: Why,
    address: Annotated[
        str | None, typer.Argument(metavar="ADDRESS", help="The e-mail address.")
    ] = None,
    delivery: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Instead: all who left by this run's delivery."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let an address be mailed again, or all whom a wrong delivery showed as having left."""
    from lifecycle.errors import InputError
    from lifecycle.ledger import leaving

    if (address is None) == (delivery is None):
        raise InputError("name an address, or --delivery RUN")
    with context.obj.ledger() as (settings, ledger):
        if delivery is not None:
            people = leaving.unsuppress_delivery(ledger, delivery, by=by, why=why)
            sentence = f"{people} who left by the delivery of run {delivery} may be mailed again"
            data: dict[str, object] = {"run_id": delivery, "addresses": people}
        else:
            key = settings.privacy.erasure_key.get_secret_value()
            named = str(address).strip().lower()
            against = leaving.unsuppress(ledger, named, by=by, why=why, key=key)
            sentence = f"{named} may be mailed again (it was not: {', '.join(against)})"
            data = {"address": named, "was": against}
    say(f"{sentence}, unless the CRM's next delivery still says that they left.", data, as_json)
