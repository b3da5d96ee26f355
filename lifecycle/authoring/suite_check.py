"""Checks the suites of `expectations/` before a run uses them: `lifecycle validate`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lifecycle.authoring.check_cache import CheckCache
from lifecycle.errors import InputError, Problem, Problems
from lifecycle.settings import CHECKOUT, Settings


def check_suites(settings: Settings) -> tuple[int, list[Problem]]:
    """The number of suites that can be used, and the problems of the others.

    Suites in which nothing is wrong are checked once: Great Expectations is imported again only
    after a change of a suite, of a model's YAML or of the code.
    """
    cache = CheckCache(
        settings.state_dir, "suites", _files(settings), settings.source.model_dump_json()
    )
    count = cache.read()
    if isinstance(count, int):
        return count, []
    from lifecycle.warehouse import expected_schema
    from lifecycle.warehouse.gate import suites

    count, is_final = 0, True
    problems: list[Problem] = []
    for door in ("raw", "marts"):
        try:
            loaded = suites.load(settings, door)
            count += len(loaded)
            is_final &= expected_schema.check_suites(settings, loaded)
        except Problems as error:
            problems += error.problems
        except InputError as error:
            problems.append(Problem(f"expectations/{door}", None, str(error)))
    if is_final and not problems:
        cache.write(count)
    return count, problems


def _files(settings: Settings) -> Iterator[Path]:
    """All that the check reads: the suites, and the YAML of the models that they are about."""
    yield from settings.folder("expectations").rglob("*")
    yield from (CHECKOUT / "dbt_project" / "models").rglob("*.yml")
