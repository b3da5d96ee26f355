"""The Prefect API of one command: what follows from its end."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest
from prefect.context import SettingsContext, get_settings_context
from prefect.settings import get_current_settings

from flows.api import prepare
from flows.local_api import LocalApi


def test_nobody_waits_for_an_api_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "tests:of-one-session")
    prepare(tmp_path)
    mine = get_settings_context().settings.copy_with_update()
    with SettingsContext(profile=get_settings_context().profile, settings=mine):
        api = LocalApi(tmp_path)
        try:
            api.wait()
            assert get_current_settings().client.max_retries > 0
            assert api.process_id is not None
            psutil.Process(api.process_id).kill()
            api.watcher.join(600)
            assert api.has_ended
            assert get_current_settings().client.max_retries == 0
        finally:
            os.environ.pop("PREFECT_API_URL", None)
