"""A YAML file checked against a model, every problem told with its line and in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from io import StringIO
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent

from lifecycle.errors import Problem, TriggerError, did_you_mean

PLAIN_WORDS = {
    "missing": "is required",
    "string_type": "has to be a text",
    "int_type": "has to be a whole number",
    "bool_type": "has to be true or false",
    "tuple_type": "has to be a list",
    "model_type": "has to be a mapping",
}
"""What pydantic finds wrong, as CS ops would say it."""


class PlacedFaults(ValueError):
    """Things wrong inside a value: for each, where below the value, what, and a hint."""

    def __init__(self, *faults: tuple[Sequence[int | str], str, str]) -> None:
        self.faults = faults
        super().__init__("\n".join(what for _, what, _ in faults))


@lru_cache(maxsize=1_000)
def _load(text: str) -> Any:
    """What the YAML says, with its lines; read only, for the next reader gets the same object."""
    return YAML(typ="rt", pure=True).load(StringIO(text))


class YamlFile:
    """The mapping that a YAML file holds, and the line of each of its keys."""

    def __init__(self, text: str, name: str) -> None:
        """Read a text. Raises TriggerError if it is no YAML mapping or says a key twice."""
        self.name = name
        try:
            self._refuse_aliases(text)
            content = _load(text)
        except DuplicateKeyError as error:
            key = str(error.problem).partition('"')[2].partition('"')[0]
            raise self._broken(f"{key}: is there twice", error) from None
        except MarkedYAMLError as error:
            what = " ".join(str(error.problem or error.context).split())
            raise self._broken(f"not valid YAML: {what}", error) from None
        except RecursionError:
            raise TriggerError([Problem(name, None, "is nested too deeply")]) from None
        except (YAMLError, ValueError) as error:
            raise TriggerError([Problem(name, None, f"not valid YAML: {error}")]) from None
        if not isinstance(content, CommentedMap):
            what, hint = "has to be a mapping of keys to values", "it is empty" * (content is None)
            raise TriggerError([Problem(name, 1, what, hint)])
        self._content = content
        try:
            self.plain: dict[str, Any] = _plain(content)
        except RecursionError:
            raise TriggerError([Problem(name, None, "is nested too deeply")]) from None

    def _refuse_aliases(self, text: str) -> None:
        """A few aliases within aliases unfold to more items than any memory holds."""
        anchors: set[str] = set()
        for event in YAML(typ="rt", pure=True).parse(StringIO(text)) if "*" in text else ():
            anchor = str(getattr(event, "anchor", None))
            if not isinstance(event, AliasEvent):
                anchors.add(anchor)
            elif anchor in anchors:
                line = int(event.start_mark.line) + 1
                what = f"*{anchor}: aliases are not read"
                raise TriggerError([Problem(self.name, line, what, "write the value out")])

    def _broken(self, what: str, error: MarkedYAMLError) -> TriggerError:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else int(mark.line) + 1
        return TriggerError([Problem(self.name, line, what)])

    def line_of(self, place: Sequence[int | str]) -> int | None:
        """The line of a key or item, or of the nearest thing around it that is in the file."""
        content: Any = self._content
        line: int | None = None
        for part in place:
            if isinstance(content, CommentedMap) and part in content:
                line = content.lc.key(part)[0] + 1
            elif isinstance(content, CommentedSeq) and part in range(len(content)):
                line = content.lc.item(part)[0] + 1
            else:
                break
            content = content[part]
        return line

    def lines(self) -> dict[str, int]:
        """The line of every key; an item of a list goes by its id, or its number from 1."""
        return dict(self._lines(self._content, ()))

    def _lines(self, content: Any, place: tuple[int | str, ...]) -> Iterator[tuple[str, int]]:
        keys: Sequence[int | str] = ()
        if isinstance(content, CommentedMap):
            keys = list(content)
        elif isinstance(content, CommentedSeq):
            keys = range(len(content))
        for key in keys:
            here = (*place, key)
            line = self.line_of(here)
            if line is not None:
                yield self._key(here), line
            yield from self._lines(content[key], here)

    def problems(self, error: ValidationError, model: type[BaseModel]) -> list[Problem]:
        """What the model found wrong, in the order of the file."""
        problems: list[Problem] = []
        for detail in error.errors():
            place, cause = detail["loc"], detail.get("ctx", {}).get("error")
            if isinstance(cause, PlacedFaults):
                problems += [
                    self.problem((*place, *below), what, hint) for below, what, hint in cause.faults
                ]
            elif detail["type"] == "extra_forbidden":
                word = str(place[-1])
                known = _keys_at(model, place[:-1])
                hint = did_you_mean(word, known) or f"keys are {', '.join(known)}"
                problems.append(self.problem(place, "unknown key", hint))
            else:
                problems.append(self.problem(place, *_in_words(detail)))
        return sorted(problems, key=lambda problem: problem.line or 0)

    def problem(self, place: Sequence[int | str], what: str, hint: str = "") -> Problem:
        """Something wrong at a key, named by its path within the file."""
        key = self._key(place)
        return Problem(self.name, self.line_of(place), f"{key}: {what}" if key else what, hint)

    def _key(self, place: Sequence[int | str]) -> str:
        """`send_window.from`, or `steps.case_study.when`."""
        words: list[str] = []
        here: Any = self.plain
        for part in place:
            try:
                here = here[part]
            except (KeyError, IndexError, TypeError):
                here = None
            if isinstance(part, int):
                step_id = here.get("id") if isinstance(here, dict) else None
                words.append(str(step_id or part + 1))
            else:
                words.append(part)
        return ".".join(words)


def _in_words(detail: ErrorDetails) -> tuple[str, str]:
    """What is wrong, and what was probably meant."""
    if detail["type"] != "literal_error":
        message = detail["msg"].removeprefix("Value error, ")
        return PLAIN_WORDS.get(detail["type"], message), ""
    choices = [choice.strip(" '") for choice in detail["ctx"]["expected"].split(" or ")]
    hint = did_you_mean(str(detail["input"]), choices)
    return f"{detail['input']!r} is neither {' nor '.join(choices)}", hint


def _keys_at(model: type[BaseModel], place: Sequence[int | str]) -> list[str]:
    """The keys that a model takes at a place."""
    for part in place:
        if isinstance(part, str):
            annotation = model.model_fields[part].annotation
            kinds = [annotation, *get_args(annotation)]
            model = next(kind for kind in kinds if isinstance(kind, type(BaseModel)))
    return [field.alias or key for key, field in model.model_fields.items()]


def _plain(value: Any) -> Any:
    """YAML's values without their memory of the file."""
    match value:
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case str():
            return str(value)
        case bool() | datetime() | date() | None:
            return value
        case int():
            return int(value)
        case float():
            return float(value)
    return str(value)
