"""The README's commands do what it says they print, and every setting is documented.

A line `…` of the README stands for any lines, `…` within a line for any text.
"""

from __future__ import annotations

import re
import runpy
import subprocess
from pathlib import Path

from commands import CHECKOUT, environment

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
SESSIONS = re.compile(r"```console\n(.*?)```", re.DOTALL)


def commands() -> list[tuple[str, str]]:
    """Every `$ command` of the README, with what it says is printed."""
    found = []
    for session in SESSIONS.findall(README):
        for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


def pattern(output: str) -> re.Pattern[str]:
    """What is printed, with its ellipses as gaps."""
    lines = [
        r"(?:.*\n)*?"
        if line.strip() == "…"
        else ".*?".join(re.escape(part) for part in line.split("…")) + r"\n"
        for line in output.rstrip("\n").split("\n")
    ]
    return re.compile("".join(lines))


def test_the_commands_print_what_the_readme_says(tmp_path: Path) -> None:
    env = environment(tmp_path)  # each goes on from the state that the one before it left
    for command, output in commands():
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=CHECKOUT,
            env=env,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, f"{command}: {done.stderr[-3000:]}"
        assert pattern(output).fullmatch(done.stdout), f"{command}: {done.stdout}"


def test_the_readme_shows_the_commands_of_each_door() -> None:
    shown = " ".join(command for command, _ in commands())
    for name in ("make run", "status", "validate", "preview", "explain"):
        assert name in shown


def test_the_page_of_settings_is_up_to_date() -> None:
    page = CHECKOUT / "docs" / "settings.md"
    written = runpy.run_path(str(CHECKOUT / "docs" / "settings.py"))["settings_as_markdown"]()
    assert page.read_text(encoding="utf-8") == written, "run: .venv/bin/python docs/settings.py"
    without = [line for line in written.splitlines() if line.endswith("|  |")]
    assert without == [], "settings without a word about them"
