"""One set of a company's files (triggers, mails, settings, models): of the working tree, of another
folder, or of a commit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lifecycle.authoring.template_check import check_templates
from lifecycle.errors import Problem, TriggerError
from lifecycle.settings import Settings
from lifecycle.triggers.columns import account_columns, contact_columns
from lifecycle.triggers.folder import read_folder
from lifecycle.triggers.model import Trigger
from lifecycle.warehouse import run_parameters
from lifecycle.warehouse.score_definition import PROJECT

ELSEWHERE = {"root", "state", "ledger", "source"}
"""Settings sections that say where files are; they do not change decisions."""


@dataclass(frozen=True)
class Variant:
    """One set of files."""

    name: str
    """The name in reports: `main`, `the files here`."""
    settings: Settings
    triggers: tuple[Trigger, ...]
    """Those that can be used."""
    problems: tuple[Problem, ...]
    """The problems of its triggers and mails."""
    project: Path = PROJECT
    """The dbt project."""

    @classmethod
    def read(
        cls,
        name: str,
        settings: Settings,
        *,
        folder: Path | None = None,
        project: Path = PROJECT,
        problems: tuple[Problem, ...] = (),
    ) -> Variant:
        """Read the triggers (of `folder` where one is given) and check their mails.

        Raises TriggerError only where the models' YAML, which names the columns, is unusable.
        """
        marts = project / "models" / "marts"
        triggers, wrong = read_folder(folder or settings.folder("triggers"), marts)
        unread = {Path(problem.file).stem for problem in wrong}
        steps = [(trigger.name, [step.id for step in trigger.steps]) for trigger in triggers]
        columns = account_columns(marts), contact_columns(marts)
        mails = [
            problem
            for problem in check_templates(settings, steps, *columns)
            if problem.stops_a_run and Path(problem.file).parent.name not in unread
        ]
        return cls(name, settings, tuple(triggers), (*problems, *wrong, *mails), project)

    @classmethod
    def of_working_tree(cls, settings: Settings) -> Variant:
        """The files of the working tree. Raises TriggerError with all problems that stop a run."""
        variant = cls.read("the files here", settings)
        if variant.problems:
            raise TriggerError(variant.problems)
        return variant

    @property
    def unread(self) -> frozenset[str]:
        """The names of the triggers that cannot be used."""
        names = {trigger.name for trigger in self.triggers}
        return frozenset(Path(problem.file).stem for problem in self.problems) - names

    def models(self) -> dict[str, str]:
        """The files that determine the marts: path in the dbt project, content."""
        folders = ("models", "macros", "snapshots")
        files = [self.project / "dbt_project.yml"]
        files += [file for name in folders for file in (self.project / name).rglob("*.sql")]
        return {
            file.relative_to(self.project).as_posix(): file.read_text(encoding="utf-8")
            for file in files
            if file.is_file()
        }


def changed_models(before: Variant, after: Variant) -> list[str]:
    """The files of the dbt project that differ."""
    if before.project == after.project:
        return []
    old, new = before.models(), after.models()
    return sorted(file for file in old | new if old.get(file) != new.get(file))


def changed_settings(before: Variant, after: Variant) -> dict[str, tuple[object, object]]:
    """The keys of the settings that differ: `health.green_from`, with the two values."""
    old, new = (
        {
            f"{section}.{key}": value
            for section, values in side.settings.model_dump(mode="json", exclude=ELSEWHERE).items()
            for key, value in values.items()
        }
        for side in (before, after)
    )
    return {key: (old[key], new[key]) for key in old if old[key] != new[key]}


def have_same_marts(before: Variant, after: Variant) -> bool:
    """Whether both variants build the same marts from the same data."""
    read = (run_parameters.thresholds(side.settings) for side in (before, after))
    return len(set(read)) == 1 and not changed_models(before, after)
