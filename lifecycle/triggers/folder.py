"""The trigger files of a folder: which can be used, and what is wrong with the others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lifecycle.errors import Problem, TriggerError, UnknownName, did_you_mean
from lifecycle.settings import Settings
from lifecycle.triggers.columns import MARTS, Columns, account_columns, contact_columns
from lifecycle.triggers.model import SLUG, SLUG_HINT, Trigger, TriggerFile, name_of
from lifecycle.triggers.yaml_file import YamlFile

ENDINGS = (".yaml", ".yml")


def load_triggers(settings: Settings) -> list[Trigger]:
    """All triggers of the company, those of higher priority first, then by name.

    Raises TriggerError with every problem of every file.
    """
    triggers, problems = read_folder(settings.folder("triggers"))
    if problems:
        raise TriggerError(problems)
    return triggers


def find(triggers: Iterable[Trigger], name: str) -> Trigger:
    """The trigger of that name. Raises UnknownName with the nearest known name."""
    known = {trigger.name: trigger for trigger in triggers}
    if name not in known:
        hint = did_you_mean(name, known) or f"there are: {', '.join(sorted(known)) or 'none'}"
        raise UnknownName(f"no trigger {name!r}; {hint}")
    return known[name]


def names(folder: Path) -> list[str]:
    """The names of all trigger files in a folder, also of those that cannot be used."""
    if not folder.is_dir():
        return []
    return sorted({path.stem for path in folder.iterdir() if _is_trigger(path)})


def read_folder(folder: Path, marts: Path = MARTS) -> tuple[list[Trigger], list[Problem]]:
    """The triggers of a folder that can be used, and the problems of those that cannot.

    `marts` is where the models' YAML says which columns there are.
    """
    try:
        files = sorted(path for path in folder.iterdir() if _is_trigger(path))
    except OSError as error:
        what = "no such folder" if not folder.exists() else f"cannot be read: {error.strerror}"
        return [], [Problem(str(folder), None, what)]
    accounts, contacts = account_columns(marts), contact_columns(marts)
    first: dict[str, Path] = {}
    triggers: dict[str, Trigger] = {}
    problems: list[Problem] = []
    for path in files:
        other = first.setdefault(path.stem, path)
        if other is not path:
            what = f"is a second trigger {path.stem!r} beside {other.name}"
            problems.append(Problem(name_of(path), None, what, "keep one of them"))
        try:
            trigger = read_trigger(path, accounts, contacts)
        except TriggerError as error:
            problems += error.problems
            continue
        triggers[trigger.name] = trigger
    return sorted(triggers.values(), key=lambda trigger: trigger.rank), problems


def read_trigger(path: Path, accounts: Columns, contacts: Columns) -> Trigger:
    """One trigger file. Raises TriggerError with all its problems."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
        raise TriggerError([Problem(name_of(path), None, what)]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        problem = Problem(name_of(path), line, "is not UTF-8", "save it as UTF-8")
        raise TriggerError([problem]) from None
    return parse_trigger(text, path, accounts, contacts)


def parse_trigger(text: str, path: Path, accounts: Columns, contacts: Columns) -> Trigger:
    """A trigger from the text of its file. Raises TriggerError with all its problems."""
    file = YamlFile(text, name_of(path))
    problems: list[Problem] = []
    if not SLUG.fullmatch(path.stem):
        what = f"{path.stem!r} cannot name a trigger"
        problems.append(Problem(file.name, None, what, SLUG_HINT))
    context = {"account_columns": accounts, "contact_columns": contacts}
    try:
        content = TriggerFile.model_validate(file.plain, context=context)
    except ValidationError as error:
        problems += file.problems(error, TriggerFile)
        problems += _repeated_steps(file)
    if problems:
        raise TriggerError(dict.fromkeys(problems))
    fields = {field: getattr(content, field) for field in TriggerFile.model_fields}
    return Trigger(
        **fields,
        name=path.stem,
        file=path,
        version=_version(file.plain),
        text=text,
        lines=file.lines(),
    )


def _repeated_steps(file: YamlFile) -> Iterator[Problem]:
    """Ids that are there twice: where a step is wrong, the model does not look at the others."""
    ids = named_steps(file)
    for number, step in enumerate(ids):
        if step and step in ids[:number]:
            yield file.problem(("steps", number, "id"), "is there twice")


def named_steps(file: YamlFile) -> list[str]:
    """The ids of a file's steps whatever else is wrong in it; empty where one cannot be read."""
    steps = file.plain.get("steps")
    ids = [
        step.get("id") if isinstance(step, dict) else None
        for step in (steps if isinstance(steps, list) else ())
    ]
    return [step_id if isinstance(step_id, str) else "" for step_id in ids]


def _is_trigger(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".")


def _version(plain: dict[str, Any]) -> str:
    canonical = json.dumps(plain, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()
