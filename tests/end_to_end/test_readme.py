"""What README.md and docs/ tell people to type works, and every setting is documented.

A line `…` of the README stands for any lines, `…` within a line for any text.
"""

from __future__ import annotations

import re
import runpy
import shlex
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import warm
from commands import CHECKOUT, environment

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
PAGES = [README, *(page.read_text(encoding="utf-8") for page in (CHECKOUT / "docs").glob("*.md"))]
SESSIONS = re.compile(r"```console\n(.*?)```", re.DOTALL)
INLINE = re.compile(r"`((?:[A-Z_]+=\S+ )?(?:\.venv/bin/)?(?:lifecycle|make|dbt|prefect|cd) [^`]+)`")
LINES = re.compile(r"^make .+$", re.MULTILINE)
"""In a block of code."""
PLACEHOLDER = re.compile(r"[A-Z_]+|\d{4}-\d\d-\d\d")
"""What everybody fills in as they need it."""

SAID = "--by aiko --why 'as agreed'"
TYPED = {
    "lifecycle schema": '"audience"',
    "lifecycle preview onboarding": "onboarding as of Wed 2026-06-10 10:00",
    "lifecycle owners": "Lists for account owners as of Wed 2026-06-10 10:00",
    "lifecycle effect": "Accounts count in the group they were put in",
    "lifecycle score-report": "The source is the demo company",
    "lifecycle fit-scores": "Fitted on 283 accounts",
    "lifecycle simulate --from 2026-06-09 --to 2026-06-09": "1 day, 2026-06-09 to 2026-06-09",
    "lifecycle backfill --from 2026-06-08 --to 2026-06-09": "2 days built, 605 rows",
    "lifecycle held": "{held}",
    f"lifecycle decide {{held}} resend {SAID}": "goes again",
    "lifecycle deliver --as-of '2026-06-10 16:30 Asia/Tokyo'": "accepted by the provider",
    "lifecycle sync-feedback": "The provider outbox keeps no lists to read",
    f"lifecycle pause win_back_dormant {SAID}": "is paused",
    f"lifecycle resume win_back_dormant {SAID}": "was paused and goes on",
    f"lifecycle off onboarding {SAID}": "is off",
    f"lifecycle cancel onboarding {SAID}": "mails were cancelled",
    f"lifecycle hold A0169 --until 2026-12-01 {SAID}": "A0169 is on hold",
    f"lifecycle unhold A0169 {SAID}": "not on hold any more",
    "lifecycle suppress {address} --by aiko": "is never mailed again",
    f"lifecycle unsuppress {{address}} {SAID}": "may be mailed again",
    "lifecycle erase {address} --by aiko": "Erased: ",
    "lifecycle backup {copy}": "rows.",
}
"""Typed after the README's own commands, in this order → what is printed among other things."""
# All models are built by every run; here it is about the folder, its profile and the warehouse.
SHELL = {
    "cd dbt_project && ../.venv/bin/dbt build --select staging": "Completed successfully",
    "cd dbt_project && ../.venv/bin/dbt docs generate": "Catalog written to",
}
MAKE = {
    "make run": "run",
    'make run AS_OF="2026-06-11 10:00 Asia/Tokyo"': "run --as-of 2026-06-11 10:00 Asia/Tokyo",
    'make run AS_OF="2026-05-01 10:00" STATE=.lifecycle-replay': (
        "run --as-of 2026-05-01 10:00 STATE__DIR=.lifecycle-replay"
    ),
    'make run AS_OF="2026-06-09 10:00 Asia/Tokyo" STATE=.lifecycle-replay': (
        "run --as-of 2026-06-09 10:00 Asia/Tokyo STATE__DIR=.lifecycle-replay"
    ),
    'make run DATA=exports/ AS_OF="2026-06-10 10:00 Asia/Tokyo"': (
        "run --as-of 2026-06-10 10:00 Asia/Tokyo SOURCE__KIND=files SOURCE__PATH=exports/"
        " STATE__DIR=.lifecycle/data/exports"
    ),
    "make run DRY_RUN=1": "run --dry-run",
}
"""What make has the command do → its arguments, and what its environment says."""
ELSEWHERE = {
    "lifecycle run": "end_to_end/test_online_retail.py",
    "lifecycle diff": "whatif/test_diff.py",
    "lifecycle approve": "cli/test_controls.py",
    "lifecycle normal": "cli/test_controls.py",
    "lifecycle reject": "cli/test_controls.py",
    "lifecycle fit-scores --accept": "flows/test_fit_scores.py",
    "lifecycle retry": "cli/test_controls.py",
    "lifecycle answers": "mailbox/test_heard.py",
    "lifecycle answered": "mailbox/test_heard.py",
    "lifecycle unsuppress --delivery": "cli/test_controls.py",
    "lifecycle serve": "web/test_serve.py",
    "lifecycle status --check": "cli/test_status_check.py",
    "make server": "end_to_end/test_make_server.py",
    "prefect deploy --all": "flows/test_server.py",
    "prefect work-pool create": "flows/test_server.py",
    "make install": "../Makefile",
    "make test": "../Makefile",
    "make lint": "../Makefile",
}
"""Commands that another file tries, or that are this."""


def sessions() -> list[tuple[str, str]]:
    """Every `$ command` of the README, with what it says is printed."""
    collected = []
    for session in SESSIONS.findall(README):
        for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            collected.append((command, output))
    return collected


def pattern(output: str) -> re.Pattern[str]:
    """What is printed, with its ellipses as gaps."""
    lines = [
        r"(?:.*\n)*?"
        if line.strip() == "…"
        else ".*?".join(re.escape(part) for part in line.split("…")) + r"\n"
        for line in output.rstrip("\n").split("\n")
    ]
    return re.compile("".join(lines))


def documented() -> set[str]:
    """Every command that a page tells people to type."""
    blocks = re.compile(r"```\n(.*?)```", re.DOTALL)
    result = {command for page in PAGES for command in INLINE.findall(page)}
    for page in PAGES:
        for block in blocks.findall(page):
            result |= {line.partition("   ")[0] for line in LINES.findall(block)}
    return result


def bare(command: str) -> str:
    """A command without where it lies."""
    return re.sub(r"^cd dbt_project && |(?:\.\./)?\.venv/bin/", "", command)


def shell(command: str, env: dict[str, str]) -> CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command], cwd=CHECKOUT, env=env, capture_output=True, text=True, timeout=600
    )


def test_the_commands_print_what_the_pages_say(tmp_path: Path, prefect_api: str) -> None:
    """Each goes on from the state that the one before it left."""
    state = tmp_path / "state"
    env = environment(
        state,
        PREFECT_API_URL=prefect_api,
        LIFECYCLE__PRIVACY__ERASURE_KEY="0123456789abcdef0123456789abcdef",
        LIFECYCLE_WAREHOUSE=str(state / "work.duckdb"),
        DBT_TARGET_PATH=str(tmp_path / "target"),
        DBT_LOG_PATH=str(tmp_path / "logs"),
    )

    def type_in(command: str) -> CompletedProcess[str]:
        name, *arguments = shlex.split(bare(command))
        if name != "lifecycle":
            return shell(command, env)
        return warm.lifecycle(*arguments, env=env, cwd=CHECKOUT)

    for command, output in sessions():
        done = type_in(command)
        assert done.returncode == 0, f"{command}: {done.stderr[-3000:]}"
        assert pattern(output).fullmatch(done.stdout), f"{command}: {done.stdout}"

    known = {"copy": str(tmp_path / "copy.db"), **a_held_mail(state)}
    for command, output in (TYPED | SHELL).items():
        done = type_in(command.format(**known))
        assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-3000:]}"
        assert output.format(**known) in " ".join(done.stdout.split()), f"{command}: {done.stdout}"

    anew = {**env, "LIFECYCLE__STATE__DIR": str(tmp_path / "anew")}
    restore = shlex.split(f"restore {known['copy']} {SAID}")
    done = warm.lifecycle(*restore, env=anew, cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr
    assert "Restored." in done.stdout


def a_held_mail(state: Path) -> dict[str, str]:
    """Make one of the mails that wait one that nobody can vouch for: its id, and its address."""
    with closing(sqlite3.connect(state / "ledger.db")) as ledger, ledger:
        ((send_id, address),) = ledger.execute(
            "update sends set state = 'held' where send_id = (select min(send_id) from sends"
            " where state = 'planned') returning send_id, address"
        ).fetchall()
    return {"held": send_id, "address": address}


@pytest.mark.parametrize("command", MAKE)
def test_make_hands_on_what_it_is_told(command: str, tmp_path: Path) -> None:
    """With a `lifecycle` in its place that says what it was given."""
    output = tmp_path / "lifecycle"
    output.write_text(
        '#!/bin/sh\necho "$@" $(env | grep ^LIFECYCLE__ | cut -c 12- | sort)\n', encoding="utf-8"
    )
    output.chmod(0o755)
    env = environment(tmp_path)
    del env["LIFECYCLE__STATE__DIR"]
    # `make test` would have this make tell that it is one within another.
    env = {name: value for name, value in env.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = shell(f"{command} --old-file install BIN={tmp_path}", env)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{MAKE[command]}\n"


def test_every_command_of_the_pages_is_tried() -> None:
    tried = [*dict(sessions()), *TYPED, *SHELL, *MAKE, "lifecycle restore {copy}"]
    untried = {
        command
        for command in documented()
        if not any(is_like(typed, command) for typed in tried)
        and not bare(command).startswith(tuple(ELSEWHERE))
    }
    assert untried == set()
    for place in ELSEWHERE.values():
        assert (CHECKOUT / "tests" / place).is_file()


def is_like(typed: str, expected: str) -> bool:
    """Whether what was typed begins with what a page says, its placeholders filled in."""
    parts, wanted = shlex.split(bare(typed)), shlex.split(bare(expected))
    return len(parts) >= len(wanted) and all(
        part == want or PLACEHOLDER.fullmatch(want)
        for part, want in zip(parts, wanted, strict=False)
    )


def test_the_readme_shows_the_commands_of_each_door() -> None:
    shown = " ".join(command for command, _ in sessions())
    for name in ("make run", "status", "validate", "preview", "explain"):
        assert name in shown


def test_the_page_of_settings_is_up_to_date() -> None:
    page = CHECKOUT / "docs" / "settings.md"
    written = runpy.run_path(str(CHECKOUT / "docs" / "settings.py"))["settings_as_markdown"]()
    assert page.read_text(encoding="utf-8") == written, "run: .venv/bin/python docs/settings.py"
    without = [line for line in written.splitlines() if line.endswith("|  |")]
    assert without == [], "settings without a word about them"
