"""Who gets the credential of Prefect's API: a server on this machine, and no other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from company import Company
from flows import api
from lifecycle import prefect_credential
from lifecycle.status.prefect_schedule import _credential


@pytest.mark.parametrize(
    ("host", "gets_it"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("prefect.example.com", False),
        ("127.0.0.1.example.com", False),
    ],
)
def test_a_server_elsewhere_does_not_get_the_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, gets_it: bool
) -> None:
    settings = Company(tmp_path).settings
    line = prefect_credential.read_or_create(settings.state_dir)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    monkeypatch.setattr(os, "environ", kept)

    credential = _credential(settings.state_dir, host)
    assert (credential == tuple(line.split(":"))) is gets_it

    os.environ["PREFECT_API_URL"] = f"http://{host}:4200/api"
    api.prepare(settings.state_dir)
    assert (os.environ.get("PREFECT_API_AUTH_STRING") == line) is gets_it
