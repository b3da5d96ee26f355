"""Everything that people wrote, checked before a run meets it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lifecycle.authoring.files import TriggerFiles, read_files
from lifecycle.authoring.trigger_check import check_files
from lifecycle.document import Document, Section, counted, table
from lifecycle.errors import InputError, Problem, Problems
from lifecycle.settings import Settings
from lifecycle.triggers.model import Trigger
from lifecycle.warehouse.expected_schema import check_suites
from lifecycle.warehouse.gate import suites


@dataclass(frozen=True)
class Validation:
    """What was checked, and all that is wrong with it."""

    files: TriggerFiles
    suites: int
    problems: tuple[Problem, ...]

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """Those that can be used."""
        return self.files.usable

    @property
    def stops_a_run(self) -> list[Problem]:
        """What is wrong everywhere: no run begins before it is mended. A trigger whose own file
        or mails are broken waits by itself."""
        waits = {problem for some in self.files.broken.values() for problem in some}
        return [one for one in self.problems if one.stops_a_run and one not in waits]

    def as_json(self) -> dict[str, Any]:
        """The object of `validate --json`."""
        return {
            "triggers": [trigger.name for trigger in self.triggers],
            "suites": self.suites,
            "problems": [asdict(problem) for problem in self.problems],
        }

    def as_document(self) -> Document:
        """The outcome for a person: what each trigger does, when nothing is wrong."""
        rows = (
            (one.name, one.launch.mode, len(one.steps), "yes" if one.needs_feed else "no")
            for one in self.triggers
        )
        shown = table(("trigger", "launch", "steps", "needs the usage feed"), rows)
        told = f"{counted(len(self.triggers), 'trigger')} with their mails, "
        told += f"{counted(self.suites, 'suite')} of expectations: nothing wrong."
        return [Section(told, (shown,), "good")]


def validate(settings: Settings) -> Validation:
    """Check triggers, templates and expectations; problems are returned, not raised."""
    files = read_files(settings)
    problems = check_files(settings, files)
    guarded = 0
    for door in ("raw", "marts"):
        try:
            loaded = suites.load(settings, door)
            guarded += len(loaded)
            check_suites(settings, loaded)
        except Problems as error:
            problems += error.problems
        except InputError as error:
            problems.append(Problem(f"expectations/{door}", None, str(error)))
    return Validation(files, guarded, tuple(problems))
