"""No secret and no whole address in any log, artifact or Prefect parameter, whatever went wrong."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from itertools import chain
from pathlib import Path

import warm
from commands import CHECKOUT, environment
from company import Company
from faults.fake_sendgrid import FakeSendGrid
from sendgrid_lists import KEY, sendgrid_lists
from sources.delivery import CONTACTS, World

SECRETS = {
    "LIFECYCLE__SENDGRID__API_KEY": KEY,
    "LIFECYCLE__SMTP__PASSWORD": "secret-of-the-relay",
    "LIFECYCLE__PRIVACY__ERASURE_KEY": "secret-of-the-erased-0123456789abcdef",
    "LIFECYCLE__NOTIFY__WEBHOOK_URL": "http://127.0.0.1:9/secret-of-the-channel",
    "LIFECYCLE__UNSUBSCRIBE__SECRET": "secret-of-the-links-0123456789abcdef",
}
TRIGGER = """
description: Whoever has a seat
audience: seats > 0
recipients: role = 'admin'
launch: existing
enter: once
send_window: {days: mon-sun, from: "00:00", to: "24:00"}
steps: [{id: hello, after: 0d}]
"""
PERSON = re.compile(r"(?:person\d|owner|a|evil|x)@example\.(?:com|org)")
"""Of the company's own two addresses nobody makes a secret."""
DATA = ("ledger.db", "published.duckdb", "work.duckdb")
"""What has to hold addresses, because mails are made from it."""


def _written(*folders: Path) -> dict[str, str]:
    """All that runs left in words: path → text; of Prefect's database all rows."""
    result = {}
    for path in chain.from_iterable(folder.rglob("*") for folder in folders):
        if not path.is_file() or path.name.startswith(DATA):
            continue
        if path.suffix == ".db":
            with closing(sqlite3.connect(path)) as database:
                result[str(path)] = "\n".join(database.iterdump())
        elif not path.name.endswith(("-wal", "-shm")):
            result[str(path)] = path.read_bytes().decode("utf-8", errors="replace")
    return result


def test_what_runs_write_names_nobody_and_no_secret(
    tmp_path: Path, prefect_api: str, prefect_home: Path
) -> None:
    world = World(tmp_path)
    Company(tmp_path).trigger("hello", TRIGGER, "hello")
    state = tmp_path / "state"
    env = environment(
        state,
        **SECRETS,
        PREFECT_API_URL=prefect_api,
        LIFECYCLE_CONFIG=str(tmp_path / "lifecycle.toml"),
        LIFECYCLE__SOURCE__KIND="files",
        LIFECYCLE__SOURCE__PATH=str(world.data),
        LIFECYCLE__DELIVERY__PROVIDER="sendgrid",
        LIFECYCLE__UNSUBSCRIBE__BASE_URL="https://links.example.com",
        LIFECYCLE__GATE__MAX_REJECTED_SHARE="1",
    )
    with sendgrid_lists() as lists:
        lists.put("bounces", "person1@example.com", 1_780_000_000, reason="550 no such person1@example.com")  # fmt: skip  # noqa: E501
        done = warm.lifecycle("sync-feedback", env={**env, "LIFECYCLE__SENDGRID__BASE_URL": lists.base_url}, cwd=CHECKOUT)  # fmt: skip  # noqa: E501
        output = [done.stderr]
        assert done.returncode == 0, done.stderr

    contacts = [{**contact, "consent_basis": "contract"} for contact in CONTACTS]
    bad = {**contacts[0], "contact_id": "C9", "email": "a@example.org, evil@example.org"}
    world.csv("contacts", [*contacts, bad])
    with FakeSendGrid(tmp_path / "fake", key=KEY) as fake:
        env["LIFECYCLE__SENDGRID__BASE_URL"] = fake.base_url
        fake.refuse("person2@example.com")
        done = warm.lifecycle("run", "--json", env=env, cwd=CHECKOUT)
        assert done.returncode == 0, done.stderr
        output.append(done.stderr)
        report = json.loads(done.stdout)
        assert report["accepted"] == 1
        assert report["withheld"] == {"suppressed": 1}
        assert report["rejected_rows"] == 1
    (world.data / "contacts.csv").write_text("contact_id,account_id,email\nC1,A1\nC2,A2,x@example.org\n")  # fmt: skip  # noqa: E501
    output.append(warm.lifecycle("run", env=env, cwd=CHECKOUT).stderr)

    written = _written(state, prefect_home) | dict(
        zip(("sync", "run", "failed"), output, strict=True)
    )
    kinds = " ".join(written)
    for part in ("lifecycle.log", "prefect.db", "prefect.log", "data_docs", "reports"):
        assert part in kinds, f"{part} was not read"
    result = {(path, address) for path, text in written.items() for address in PERSON.findall(text)}
    assert result == set()
    assert [
        (path, name) for path, text in written.items() for name in SECRETS if SECRETS[name] in text
    ] == []
