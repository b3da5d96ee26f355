"""Reads a company's triggers and mails, and splits them into usable and waiting ones.

A trigger whose file or mails cannot be used waits by itself; the others go on. A problem that
concerns all triggers makes all of them wait.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lifecycle.authoring.template_check import check_templates
from lifecycle.errors import Problem, TriggerError, did_you_mean
from lifecycle.mail.folder import Templates, nearest
from lifecycle.settings import Settings
from lifecycle.template_names import OWNER_LIST
from lifecycle.triggers.columns import account_columns, contact_columns
from lifecycle.triggers.folder import named_steps, names, read_folder
from lifecycle.triggers.model import Trigger
from lifecycle.triggers.yaml_file import YamlFile


@dataclass(frozen=True)
class Seen:
    """The trigger files that there are at one moment, usable or not."""

    triggers: Path
    """The folder that they are in."""
    mails: Path
    """The folder that their mails are in."""
    names: frozenset[str]

    @classmethod
    def now(cls, settings: Settings) -> Seen:
        """Those that there are now."""
        folder = settings.folder("triggers")
        return cls(folder, settings.folder("email_templates"), frozenset(names(folder)))


@dataclass(frozen=True)
class TriggerFiles:
    """The result of reading the files, each of them once."""

    usable: tuple[Trigger, ...]
    """The triggers that a run may use: by descending priority, then by name."""
    readable: tuple[Trigger, ...]
    """The usable triggers, and those whose file can be read but that wait for another reason."""
    broken: Mapping[str, tuple[Problem, ...]]
    """Name of a trigger that waits: the problems of its file and its mails."""
    everywhere: tuple[Problem, ...]
    """Problems that concern all triggers."""
    remarks: tuple[Problem, ...]
    """Untidy files in the mails' folder; no trigger waits for them."""
    templates: Templates
    """The mails as they were checked."""

    @property
    def problems(self) -> list[Problem]:
        """All problems that have to be mended."""
        return [
            *(problem for problems in self.broken.values() for problem in problems),
            *self.everywhere,
        ]


def read_files(settings: Settings) -> TriggerFiles:
    """Read and check every trigger and every mail.

    Raises TriggerError if the models' own YAML, which names the columns, cannot be read.
    """
    return _read(settings, Seen.now(settings))


def read_to_plan(settings: Settings, seen: Seen | None = None) -> TriggerFiles:
    """The same for a run that is to plan: what is wrong everywhere is wrong with each trigger.

    `seen` is what there was when the run began. A file that is gone since then waits like a
    broken one: somebody may be about to save it. Only a run that begins without it takes its
    trigger for removed. Raises TriggerError as `read_files` does.
    """
    files = _read(settings, seen or Seen.now(settings))
    usable = {trigger.name: trigger for trigger in files.usable}
    broken = dict(files.broken)
    if files.everywhere:
        known = {*usable, *broken, *(seen.names if seen else ())}
        broken = {name: (*broken.get(name, ()), *files.everywhere) for name in sorted(known)}
    elif seen:
        for name in sorted(seen.names - {*usable, *broken}):
            file = f"{seen.triggers.name}/{name}.yaml"
            hint = "put it back; a run that begins without it takes the trigger for removed"
            broken[name] = (Problem(file, None, "is gone since the run began", hint),)
    return TriggerFiles(
        tuple(trigger for trigger in files.usable if trigger.name not in broken),
        files.readable,
        broken,
        files.everywhere,
        files.remarks,
        files.templates,
    )


def _read(settings: Settings, seen: Seen) -> TriggerFiles:
    templates = Templates(seen.mails)
    triggers, unreadable = read_folder(seen.triggers)
    problems = [
        *unreadable,
        *_without_their_language(templates, triggers),
        *_wrong_mails(settings, seen.triggers, templates, triggers, unreadable),
    ]
    broken: dict[str, list[Problem]] = defaultdict(list)
    everywhere: list[Problem] = []
    for problem in problems:
        if problem.stops_a_run:
            name = _trigger_of(problem, seen)
            (everywhere if name is None else broken[name]).append(problem)
    return TriggerFiles(
        tuple(trigger for trigger in triggers if trigger.name not in broken),
        tuple(triggers),
        {name: tuple(dict.fromkeys(broken[name])) for name in sorted(broken)},
        tuple(everywhere),
        tuple(problem for problem in problems if not problem.stops_a_run),
        templates,
    )


def _trigger_of(problem: Problem, seen: Seen) -> str | None:
    """The trigger whose file or mail a problem is in; None where it is everybody's."""
    match PurePosixPath(problem.file).parts:
        case (folder, file) if folder == seen.triggers.name:
            return PurePosixPath(file).stem
        case (folder, name, _) if folder == seen.mails.name and name != OWNER_LIST:
            return name
    return None


def _wrong_mails(
    settings: Settings,
    folder: Path,
    templates: Templates,
    triggers: Sequence[Trigger],
    unreadable: Sequence[Problem],
) -> list[Problem]:
    """What is wrong with the mails, those of unusable triggers too as far as their steps can be
    read."""
    unread = {Path(problem.file).stem for problem in unreadable} - {
        trigger.name for trigger in triggers
    }
    steps = [(trigger.name, [step.id for step in trigger.steps]) for trigger in triggers]
    of_one_language = {trigger.name for trigger in triggers if trigger.locale}
    for file in _unread_files(folder, unread):
        ids = [step_id for step_id in dict.fromkeys(named_steps(file)) if step_id]
        if ids:
            name = Path(file.name).stem
            unread.discard(name)
            steps.append((name, ids))
            of_one_language |= {name} if file.plain.get("locale") else set()
    wrong = check_templates(
        settings, steps, account_columns(), contact_columns(), of_one_language, templates
    )
    return [problem for problem in wrong if Path(problem.file).parent.name not in unread]


def _unread_files(folder: Path, unread: Collection[str]) -> Iterator[YamlFile]:
    """The files of triggers that cannot be used, but read."""
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            if path.stem in unread:
                with suppress(TriggerError, OSError, UnicodeDecodeError):
                    yield YamlFile(path.read_text(encoding="utf-8-sig"), path.name)


def _without_their_language(templates: Templates, triggers: Sequence[Trigger]) -> Iterator[Problem]:
    """Triggers whose `locale` a step has no mail in."""
    mails = templates.steps
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
