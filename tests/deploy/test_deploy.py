"""What deploy/ says fits the code: checked as far as a machine without Docker's engine can."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from lifecycle.mail.unsubscribe import PATH
from lifecycle.settings import ENV_PREFIX, Settings

CHECKOUT = Path(__file__).parents[2]
DEPLOY = CHECKOUT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
UNITS = sorted((DEPLOY / "systemd").iterdir())
SECRETS = {"POSTGRES_PASSWORD", "PREFECT_AUTH", "UNSUBSCRIBE_SECRET", "ERASURE_KEY"}
VARIABLE = re.compile(r"\$\{(\w+)([^}]*)\}")


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, each with what follows it on one line."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"(?m)^#.*\n", "", text).replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in lines if line.strip()]


def is_setting(variable: str) -> bool:
    """Whether a variable of the environment is a key of the settings."""
    section, _, key = variable.removeprefix(ENV_PREFIX).lower().partition("__")
    field = Settings.model_fields.get(section)
    model = field.annotation if field else None
    return isinstance(model, type) and issubclass(model, BaseModel) and key in model.model_fields


def test_the_image_is_small_locked_unprivileged_and_watched() -> None:
    result = instructions()
    assert result[0] == ("FROM", "python:3.11-slim")
    python = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert python == ">=3.11,<3.13"
    names = [name for name, _ in result]
    users = [value for name, value in result if name == "USER"]
    assert users == ["lifecycle"], "and nobody becomes root again"
    assert names.index("USER") > max(at for at, name in enumerate(names) if name == "RUN")
    (install,) = [value for _, value in result if "requirements.txt" in value and "pip" in value]
    assert "--no-deps --require-hashes" in install
    (check,) = [value for name, value in result if name == "HEALTHCHECK"]
    assert '["lifecycle", "status", "--check"]' in check
    for name, value in result:
        if name == "COPY":
            assert (CHECKOUT / value.split()[0]).exists()
        if name == "RUN":
            subprocess.run(["bash", "-n", "-c", value], check=True)


def test_what_is_copied_into_the_image_is_what_it_needs() -> None:
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    kept = [line[1:] for line in lines if line.startswith("!")]
    assert "*" in lines, "what is not named stays outside: state folders, .env, .git"
    assert all((CHECKOUT / name).exists() for name in kept)
    needed = ("lifecycle", "flows", "dbt_project", "expectations", "triggers", "email_templates")
    assert {*needed, "prefect.yaml", "pyproject.toml", "requirements.txt", "README.md"} <= {*kept}


@pytest.mark.long
def test_the_images_own_commands_install_in_a_clean_folder(tmp_path: Path) -> None:
    """Without Docker: the folder stands for /, and this Python for the base image's."""
    runs = [value for name, value in instructions() if name == "RUN" and "pip" in value]
    app = tmp_path / "app"
    kept = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    for name in (line[1:] for line in kept if line.startswith("!")):
        source, target = CHECKOUT / name, app / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    for command in runs:
        here = command.replace("/opt/venv", str(tmp_path / "venv"))
        here = re.sub(r"^python ", f"{sys.executable} ", here)
        done = subprocess.run(["bash", "-c", here], cwd=app, capture_output=True, text=True)
        output = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")]
        assert done.returncode == 0, output[-20:]
    result = subprocess.run(
        [str(tmp_path / "venv" / "bin" / "lifecycle"), "validate"],
        cwd=app,
        env={"PATH": "/usr/bin:/bin", "LIFECYCLE__STATE__DIR": str(tmp_path / "state")},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "nothing wrong" in result.stdout


def test_no_secret_has_a_default() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    used = dict(VARIABLE.findall(text))
    assert {*used} >= SECRETS
    for name in SECRETS | {"COMPANY", "DOMAIN"}:
        assert all(how.startswith(":?") for item, how in VARIABLE.findall(text) if item == name)
    example = (DEPLOY / "environment.example").read_text(encoding="utf-8")
    given = dict(re.findall(r"(?m)^(\w+)=(.*)$", example))
    assert {*used} <= {*given}
    assert set(given.values()) == {""}


def test_every_setting_that_is_named_exists() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in (DEPLOY / "compose.yaml", *UNITS))
    text += (DEPLOY / "environment.example").read_text(encoding="utf-8")
    named = set(re.findall(rf"{ENV_PREFIX}\w+", text))
    assert named
    assert [name for name in sorted(named) if not is_setting(name)] == []


def test_only_the_proxy_is_reached_from_outside() -> None:
    services = COMPOSE["services"]
    assert set(services) == {"postgres", "prefect", "worker", "serve", "proxy"}
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert ports == {"prefect": ["127.0.0.1:4200:4200"], "proxy": ["80:80", "443:443"]}
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert services["postgres"]["networks"] == services["serve"]["networks"] == ["inside"]


def test_the_parts_find_each_other() -> None:
    services = COMPOSE["services"]
    worker, server = services["worker"]["environment"], services["prefect"]["environment"]
    assert worker["PREFECT_API_AUTH_STRING"] == server["PREFECT_SERVER_API_AUTH_STRING"]
    assert worker["PREFECT_API_URL"] == "http://prefect:4200/api"
    assert "@postgres/" in worker["LIFECYCLE__LEDGER__URL"]
    for name in ("worker", "serve"):
        assert services[name]["environment"]["LIFECYCLE__STATE__DIR"] == "/state"
        assert "state:/state" in services[name]["volumes"]
        assert services[name]["volumes"][1].endswith(":/company:ro")
    volumes = {
        volume.partition(":")[0]
        for service in services.values()
        for volume in service.get("volumes", ())
        if re.match(r"\w+:/", volume)
    }
    assert volumes == set(COMPOSE["volumes"])
    for name, service in services.items():
        for other in service.get("depends_on", ()):
            assert other in services
        assert set(service["networks"]) <= set(COMPOSE["networks"]), name


def test_what_the_parts_run_is_there() -> None:
    commands = {name: service.get("command") for name, service in COMPOSE["services"].items()}
    assert commands["worker"] == ["python", "-m", "flows.worker"]
    started = re.findall(r"-m (flows\.\w+)", "\n".join(path.read_text() for path in UNITS))
    for module in {"flows.worker", *started}:
        assert importlib.util.find_spec(module) is not None
    from typer.testing import CliRunner

    from lifecycle.cli import app

    answer = CliRunner().invoke(app, ["serve", "--help"]).stdout
    assert [option for option in commands["serve"] if option.startswith("--")] == [
        "--host",
        "--port",
    ]
    assert "--host" in answer
    assert "--port" in answer


def test_the_proxy_hands_on_what_the_service_answers_and_nothing_else() -> None:
    text = (DEPLOY / "Caddyfile").read_text(encoding="utf-8")
    assert re.findall(r"@public path (.+)", text) == [f"{PATH}* /events/*"]
    port = COMPOSE["services"]["serve"]["command"][-1]
    assert f"reverse_proxy serve:{port}" in text
    assert "respond 404" in text
    if caddy := shutil.which("caddy"):
        command = [caddy, "validate", "--adapter", "caddyfile", "--config", DEPLOY / "Caddyfile"]
        subprocess.run(command, env={"DOMAIN": "mail.example.com", "HOME": "/tmp"}, check=True)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for path in UNITS:
        text = path.read_text(encoding="utf-8")
        text = text.replace("/opt/lifecycle/.venv/bin", str(Path(sys.executable).parent))
        text = text.replace("/opt/lifecycle", str(CHECKOUT))
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.suffix == ".service"], ids=str)
def test_no_unit_runs_as_root_or_writes_beside_its_state(unit: Path) -> None:
    lines = unit.read_text(encoding="utf-8").splitlines()
    for line in ("User=lifecycle", "UMask=0077", "ProtectSystem=strict", "NoNewPrivileges=yes"):
        assert line in lines
    assert "Environment=LIFECYCLE__STATE__DIR=/var/lib/lifecycle" in lines
    assert "StateDirectory=lifecycle" in lines


def test_the_lock_holds_for_the_oldest_python_that_is_promised() -> None:
    """Before 3.11.3, as Debian 12 has it, redis needs async-timeout, and so does Prefect."""
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    assert "--python-version 3.11 " in makefile
    assert "\nasync-timeout==" in (CHECKOUT / "requirements.txt").read_text(encoding="utf-8")
