"""All that is wrong with what CS ops wrote, triggers and mails together: `lifecycle validate`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from lifecycle.errors import Problem, SourceError, TriggerError, did_you_mean
from lifecycle.ledger.tables import OWNER_LIST
from lifecycle.mail.check import check_templates
from lifecycle.mail.folder import Templates, nearest
from lifecycle.settings import Settings
from lifecycle.sources.files import Folder
from lifecycle.triggers.columns import USAGE_FEED, account_columns, contact_columns
from lifecycle.triggers.model import Trigger, named_steps, read_folder
from lifecycle.triggers.yaml_file import YamlFile

SHOWN = 3
"""Names of a longer list that a problem gives."""


def check(settings: Settings) -> list[Problem]:
    """Every problem of every trigger and every template; empty when all is well.

    Also a trigger that cannot be used has mails, as far as its steps can be read.
    Raises TriggerError if the models' own YAML, which names the columns, cannot be read.
    """
    triggers, problems = read_folder(settings.folder("triggers"))
    unread = {Path(problem.file).stem for problem in problems}
    steps = [(trigger.name, [step.id for step in trigger.steps]) for trigger in triggers]
    of_one_language = {trigger.name for trigger in triggers if trigger.locale}
    for file in _unread_files(settings, unread):
        ids = [one for one in dict.fromkeys(named_steps(file)) if one]
        if ids:
            name = Path(file.name).stem
            unread.remove(name)
            steps.append((name, ids))
            of_one_language |= {name} if file.plain.get("locale") else set()
    return [
        *problems,
        *_without_their_language(settings, triggers),
        *_in_one_language(settings, triggers),
        *_without_a_cap(triggers),
        *_without_their_feed(settings, triggers),
        *(
            problem
            for problem in check_templates(
                settings, steps, account_columns(), contact_columns(), of_one_language
            )
            if Path(problem.file).parent.name not in unread
        ),
    ]


def _unread_files(settings: Settings, unread: Collection[str]) -> Iterator[YamlFile]:
    """The files of triggers that cannot be used, but read."""
    for path in sorted(settings.folder("triggers").iterdir()):
        if path.stem in unread and path.is_file():
            with suppress(TriggerError, OSError, UnicodeDecodeError):
                yield YamlFile(path.read_text(encoding="utf-8-sig"), path.name)


def _without_their_language(settings: Settings, triggers: Iterable[Trigger]) -> Iterator[Problem]:
    """Triggers whose `locale` a step has no mail in."""
    mails = Templates(settings.folder("email_templates")).steps
    spoken = {locale for (of, _), files in mails.items() for locale in files if of != OWNER_LIST}
    for trigger in triggers:
        silent = [
            step.id
            for step in trigger.steps
            if trigger.locale
            and nearest(trigger.locale, mails.get((trigger.name, step.id), {})) is None
        ]
        if silent:
            what = f"no mail in {trigger.locale} for {', '.join(silent)}"
            hint = did_you_mean(str(trigger.locale), spoken)
            hint = hint or f"there are mails in {', '.join(sorted(spoken))}"
            yield trigger.problem("locale", what, hint)


def _in_one_language(settings: Settings, triggers: Sequence[Trigger]) -> Iterator[Problem]:
    """Broadcasts with a mail in one language, where the company writes other mails in more."""
    mails = Templates(settings.folder("email_templates")).steps
    ours = {trigger.name for trigger in triggers}
    spoken = {locale for (of, _), files in mails.items() for locale in files if of in ours}
    for trigger in triggers:
        has = {
            locale for step in trigger.steps for locale in mails.get((trigger.name, step.id), ())
        }
        others = sorted(one for one in spoken if nearest(one, has) is None)
        if trigger.on and trigger.locale is None and len(has) == 1 and others:
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


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
