"""The page about trying a change: its CI steps parse, and call what there is."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.main import get_command

from commands import CHECKOUT
from lifecycle.cli import app

PAGE = (CHECKOUT / "docs" / "trying_a_change.md").read_text(encoding="utf-8")
STEPS = [YAML(typ="safe").load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


def scripts(part: Any) -> list[str]:
    """Every line that a shell is given."""
    if isinstance(part, dict):
        own = [part["run"]] if "run" in part else list(part.get("script", []))
        return own + [line for value in part.values() for line in scripts(value)]
    return [line for row in part for line in scripts(row)] if isinstance(part, list) else []


def test_both_ci_steps_post_the_markdown_of_a_diff() -> None:
    assert len(STEPS) == 2
    for step in STEPS:
        lines = scripts(step)
        assert any("lifecycle run --dry-run" in line for line in lines)
        assert any("lifecycle diff" in line and "--markdown > diff.md" in line for line in lines)
        assert any("diff.md" in line and ("gh pr" in line or "curl" in line) for line in lines)


@pytest.mark.parametrize("expected", re.findall(r"lifecycle ((?:diff|simulate|run)[^`\n>]*)", PAGE))
def test_commands_and_options_exist(expected: str) -> None:
    command = get_command(app).commands[shlex.split(expected)[0]]  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"--[a-z-]+", expected)) <= known


def test_every_option_of_simulate_is_explained() -> None:
    for parameter in get_command(app).commands["simulate"].params:  # type: ignore[attr-defined]
        option = parameter.opts[0]
        assert option in PAGE or option in ("--json", "--help")
