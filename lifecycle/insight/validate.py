"""Everything that people wrote, checked before a run meets it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lifecycle.errors import InputError, Problem, Problems
from lifecycle.insight.document import Document, Section, counted, table
from lifecycle.settings import Settings
from lifecycle.triggers.check import check
from lifecycle.triggers.model import Trigger, read_folder
from lifecycle.warehouse import suites
from lifecycle.warehouse.foreseen import check_suites


@dataclass(frozen=True)
class Validation:
    """What was checked, and all that is wrong with it."""

    triggers: tuple[Trigger, ...]
    """Those that can be used."""
    suites: int
    problems: tuple[Problem, ...]

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
    triggers, _ = read_folder(settings.folder("triggers"))
    problems = check(settings)
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
    return Validation(tuple(triggers), guarded, tuple(problems))
