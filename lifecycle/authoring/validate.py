"""`lifecycle validate`: checks every file that people write, before a run uses it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lifecycle.authoring.files import TriggerFiles, read_files
from lifecycle.authoring.suite_check import check_suites
from lifecycle.authoring.template_check import empty_values
from lifecycle.authoring.trigger_check import check_files
from lifecycle.document import Document, Section, counted, table
from lifecycle.errors import Problem
from lifecycle.mail.live import nobody_hears
from lifecycle.settings import Settings
from lifecycle.triggers.model import Trigger


@dataclass(frozen=True)
class Validation:
    """The checked files and their problems."""

    files: TriggerFiles
    suites: int
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...] = ()
    """Mails that print a value which some do not have: these are not mailed. Nothing is wrong with
    the files."""

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """Those that can be used."""
        return self.files.usable

    @property
    def stops_a_run(self) -> list[Problem]:
        """What is wrong everywhere: no run begins before it is mended. A trigger whose own file
        or mails are broken waits by itself."""
        waits = {problem for problems in self.files.broken.values() for problem in problems}
        return [
            problem for problem in self.problems if problem.stops_a_run and problem not in waits
        ]

    def as_json(self) -> dict[str, Any]:
        """The object of `validate --json`."""
        return {
            "triggers": [trigger.name for trigger in self.triggers],
            "suites": self.suites,
            "problems": [asdict(problem) for problem in self.problems],
            "notes": [asdict(note) for note in self.notes],
        }

    def as_document(self) -> Document:
        """The outcome for a person: what each trigger does, when nothing is wrong."""
        rows = (
            (
                trigger.name,
                trigger.launch.mode,
                len(trigger.steps),
                "yes" if trigger.needs_feed else "no",
            )
            for trigger in self.triggers
        )
        triggers = table(("trigger", "launch", "steps", "needs the usage feed"), rows)
        title = f"{counted(len(self.triggers), 'trigger')} with their mails, "
        title += f"{counted(self.suites, 'suite')} of expectations: nothing wrong."
        document = [Section(title, (triggers,), "good")]
        if self.notes:
            why = "Whoever lacks such a value does not get the mail:"
            document.append(Section("Values that may be empty", (why, *map(str, self.notes))))
        return document


def validate(settings: Settings) -> Validation:
    """Check triggers, templates and expectations; problems are returned, not raised."""
    files = read_files(settings)
    suites, wrong_suites = check_suites(settings)
    deaf = nobody_hears(settings)
    problems = [
        *([Problem("lifecycle.toml", None, deaf)] if deaf else []),
        *check_files(settings, files),
        *wrong_suites,
    ]
    notes = empty_values(files.templates, files.usable, settings.company)
    return Validation(files, suites, tuple(problems), tuple(dict.fromkeys(notes)))
