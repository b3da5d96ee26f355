"""Checks triggers and mails together: `lifecycle validate`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from lifecycle.authoring.files import TriggerFiles, read_files
from lifecycle.authoring.overlap import overlaps
from lifecycle.errors import Problem, SourceError
from lifecycle.mail.folder import Templates, nearest
from lifecycle.settings import Settings
from lifecycle.sources.files import Folder
from lifecycle.triggers.columns import USAGE_FEED
from lifecycle.triggers.model import Trigger

_ASKS_FOR_HIGH_TOUCH = re.compile(
    r"\btouch_model\b[^=<>']*(?:=|\bin\s*\()[^)=<>]*'high'", re.IGNORECASE
)
SHOWN = 3
"""Names of a longer list that a problem gives."""


def check(settings: Settings) -> list[Problem]:
    """Every problem of every trigger and every template; empty when all is well.

    Raises TriggerError if the models' own YAML, which names the columns, cannot be read.
    """
    return check_files(settings, read_files(settings))


def check_files(settings: Settings, files: TriggerFiles) -> list[Problem]:
    """The same for files that were read before: problems that stop mail first, then untidy ones."""
    return [
        *files.problems,
        *_in_one_language(files.templates, files.readable),
        *_without_a_cap(files.readable),
        *_without_their_feed(settings, files.readable),
        *_of_one_priority(files.readable),
        *_asks_for_high_touch(files.readable),
        *_shut_too_soon(settings, files.readable),
        *overlaps(settings, files.readable),
        *files.remarks,
    ]


def _in_one_language(templates: Templates, triggers: Sequence[Trigger]) -> Iterator[Problem]:
    """Broadcasts with a mail in one language, where the company writes other mails in more."""
    mails = templates.steps
    ours = {trigger.name for trigger in triggers}
    spoken = {locale for (of, _), files in mails.items() for locale in files if of in ours}
    for trigger in triggers:
        has = {
            locale for step in trigger.steps for locale in mails.get((trigger.name, step.id), ())
        }
        others = sorted(language for language in spoken if nearest(language, has) is None)
        if trigger.is_broadcast and trigger.locale is None and len(has) == 1 and others:
            (only,) = has
            yield trigger.problem(
                "steps",
                f"its mail is in {only} alone, and who reads {_listed(others)} gets it too",
                f"write it in {_listed(others)}, or say locale: {only}",
                stops_a_run=False,
            )


def _without_a_cap(triggers: Sequence[Trigger]) -> Iterator[Problem]:
    """Triggers whose mail may reach somebody who got another trigger's on the same day."""
    for trigger in triggers:
        others = sorted(other.name for other in triggers if other is not trigger)
        account = trigger.caps.account
        if others and not trigger.caps.contact and not (account and account.count == 1):
            yield trigger.problem(
                "caps",
                f"the same person may get its mail and one of {_listed(others)} on one day",
                "cap it: caps: {contact: 1/1d}",
                stops_a_run=False,
            )


def _without_their_feed(settings: Settings, triggers: Iterable[Trigger]) -> Iterator[Problem]:
    """Conditions over columns that are always null, because the source lacks what makes them."""
    if settings.source.kind != "files":
        return
    try:
        supplied = Folder.of(settings).supplied()
    except SourceError:
        return  # the run itself says what is wrong with its source
    for trigger in triggers:
        for key, condition in trigger.placed_conditions:
            for need, columns in condition.needs.items():
                table = "usage_events" if need == USAGE_FEED else need
                if table not in supplied:
                    what = f"{_listed(columns)}: always unknown, for the source has no {table}"
                    yield trigger.problem(key, what, stops_a_run=False)


def _asks_for_high_touch(triggers: Sequence[Trigger]) -> Iterator[Problem]:
    """Audiences that name high-touch accounts, which match no trigger by themselves."""
    for trigger in triggers:
        if not trigger.include_high_touch and _ASKS_FOR_HIGH_TOUCH.search(trigger.audience.text):
            yield trigger.problem(
                "audience",
                "asks for touch_model 'high', and such accounts match no trigger",
                "say include_high_touch: true, if mails are meant to go to them",
                stops_a_run=False,
            )


def _of_one_priority(triggers: Sequence[Trigger]) -> Iterator[Problem]:
    """Triggers with a cap that share their priority: the name decides who comes first."""
    capped = [trigger for trigger in triggers if trigger.caps.contact or trigger.caps.account]
    for trigger in capped:
        others = sorted(
            other.name
            for other in capped
            if other.priority == trigger.priority and other.name < trigger.name
        )
        if others:
            yield trigger.problem(
                "priority",
                f"is {trigger.priority} as that of {_listed(others)}, so under a cap the name"
                " decides which mail goes first",
                "give one of them a higher number",
                stops_a_run=False,
            )


def _shut_too_soon(settings: Settings, triggers: Sequence[Trigger]) -> Iterator[Problem]:
    """Windows that may open and shut between two deliveries."""
    every = settings.plan.delivery_every_minutes
    for trigger in triggers:
        minutes = trigger.send_window.minutes
        if minutes < every:
            yield trigger.problem(
                "send_window",
                f"is open for {minutes} minutes, and mails leave every {every:g}"
                " (plan.delivery_every_minutes): a delivery may miss it",
                "open it for longer, or deliver more often",
                stops_a_run=False,
            )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
