"""SECURITY.md names tests that exist, and every test of this folder."""

from __future__ import annotations

import re

from commands import CHECKOUT

PAGE = (CHECKOUT / "SECURITY.md").read_text(encoding="utf-8")


def test_every_boundary_is_held_by_a_test_that_exists():
    boundaries = PAGE.split("## Boundaries")[1].split("##")[0]
    rows = [line.split("|") for line in boundaries.splitlines() if line.startswith("| ")][2:]
    for _, what, held_by, _ in rows:
        names = re.findall(r"`([^`]+)`", held_by)
        assert names, what
        for name in names:
            is_test = name.endswith(".py")
            assert not is_test or (CHECKOUT / "tests" / name).is_file(), name


def test_every_test_of_this_folder_stands_on_the_page():
    for file in (CHECKOUT / "tests" / "security").glob("test_*.py"):
        assert file.stem == "test_security_page" or f"security/{file.name}" in PAGE, file.name
