"""The file that whoever may use Prefect's API can read, and nobody else."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.prefect_credential import read, read_or_create


def test_the_first_call_creates_it_and_later_ones_read_it(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with ThreadPoolExecutor(8) as starts:
        (credential,) = set(starts.map(lambda _: read_or_create(state), range(32)))
    user, _, password = credential.partition(":")
    assert user == "lifecycle"
    assert len(password) >= 32
    assert read(state) == credential
    assert [path.name for path in state.iterdir()] == ["prefect.auth"]
    assert stat.S_IMODE((state / "prefect.auth").stat().st_mode) == 0o600


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    read_or_create(tmp_path)
    (tmp_path / "prefect.auth").chmod(0o640)
    with pytest.raises(LifecycleError, match=r"other users .* can read .*prefect\.auth"):
        read_or_create(tmp_path)


@pytest.mark.parametrize("content", ["", "\n", "lifecycle", ":secret", "lifecycle:", "a:b\nc:d"])
def test_a_file_without_a_credential_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "prefect.auth"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(LifecycleError, match="has no credential"):
        read_or_create(tmp_path)
