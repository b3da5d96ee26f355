"""The triggers that wait because of their files, for `lifecycle status`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lifecycle.authoring.check_cache import CheckCache
from lifecycle.errors import Problem, TriggerError
from lifecycle.settings import CHECKOUT, Settings


@dataclass(frozen=True)
class BrokenFiles:
    """The problems of the files as they are now."""

    by_trigger: dict[str, list[Problem]]
    """Name of a trigger that waits: the problems of its file and its mails."""
    everywhere: list[Problem]
    """Problems that concern all triggers."""


def broken_files(settings: Settings) -> BrokenFiles:
    """Check the files, or take the last check of the same files."""
    cache = CheckCache(
        settings.state_dir, "triggers", _files(settings), settings.company.model_dump_json()
    )
    if (cached := cache.read()) is not None:
        return BrokenFiles(
            {name: [Problem(**p) for p in problems] for name, problems in cached["triggers"]},
            [Problem(**problem) for problem in cached["everywhere"]],
        )
    from lifecycle.authoring.files import read_files

    try:
        files = read_files(settings)
    except TriggerError as error:
        return BrokenFiles({}, list(error.problems))
    broken = BrokenFiles(
        {name: list(problems) for name, problems in files.broken.items()}, list(files.everywhere)
    )
    cache.write(
        {
            "triggers": [
                (name, [asdict(problem) for problem in problems])
                for name, problems in broken.by_trigger.items()
            ],
            "everywhere": [asdict(problem) for problem in broken.everywhere],
        }
    )
    return broken


def _files(settings: Settings) -> Iterator[Path]:
    """All that `read_files` reads: triggers, mails, and the YAML that names the columns."""
    for folder in (settings.folder("triggers"), settings.folder("email_templates")):
        yield from folder.rglob("*")
    yield from (CHECKOUT / "email_templates").rglob("*")
    marts = CHECKOUT / "dbt_project" / "models" / "marts"
    yield from (marts / "account_360.yml", marts / "dim_contacts.yml")
