"""The alarm rules for Prometheus are about metrics that exist, and they fire."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from commands import CHECKOUT
from lifecycle.ledger import feedback
from lifecycle.web.metrics import registry
from planned import Workspace, workspace

__all__ = ["workspace"]
RULES = CHECKOUT / "deploy" / "prometheus" / "alarms.yml"
NAME = re.compile(r"\blifecycle_\w+")

GIVEN = {
    'up{job="lifecycle"}': 1,
    'lifecycle_schedule_last_success_age_seconds{schedule="daily"}': 90_000,
    'lifecycle_schedule_max_age_seconds{schedule="daily"}': 88_200,
    "lifecycle_complaint_ratio": 0.002,
    'lifecycle_complaint_ratio_limit{level="warn"}': 0.001,
    'lifecycle_complaint_ratio_limit{level="alarm"}': 0.003,
    'lifecycle_feedback_age_seconds{list="bounces"}': 8_000,
    'lifecycle_feedback_age_seconds{list="blocks"}': 60,
    "lifecycle_feedback_max_age_seconds": 7_200,
    "lifecycle_last_delivery_due_mails": 5,
    "lifecycle_last_delivery_accepted_mails": 0,
    "lifecycle_oldest_due_mail_age_seconds": 3_700,
    "lifecycle_oldest_due_mail_max_age_seconds": 3_600,
    'lifecycle_sends{state="held"}': 0,
}
FIRING = (
    "LifecycleScheduleFails",
    "LifecycleComplaintsNearLimit",
    "LifecycleFeedbackStale",
    "LifecycleDeliveryFruitless",
    "LifecycleMailsDue",
)


@pytest.fixture
def metrics(workspace: Workspace) -> set[str]:
    """The names of all that /metrics can give."""
    now = datetime.now(UTC)
    with workspace.ledger.write() as connection:
        feedback.record_sync(connection, "bounces", read_until=now, now=now)
    return {family.name for family in registry(workspace.settings, workspace.ledger).collect()}


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    result = shutil.which("promtool")
    if result is None:
        pytest.skip("promtool is not installed (Debian has it in the package prometheus)")
    return subprocess.run([result, *arguments], capture_output=True, text=True, timeout=120)


def rules() -> list[dict]:
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return group["rules"]


def test_every_rule_is_about_metrics_that_exist(metrics: set[str]) -> None:
    assert len({rule["alert"] for rule in rules()}) == len(rules()) > 10
    for rule in rules():
        used = set(NAME.findall(rule["expr"]))
        assert used or "up{" in rule["expr"]
        assert used <= metrics, rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]


def test_the_page_lists_every_metric(metrics: set[str]) -> None:
    page = (CHECKOUT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(lifecycle_\w+)", page, re.MULTILINE)
    assert sorted(listed) == sorted(metrics)


def test_prometheus_takes_the_rules() -> None:
    checked = promtool("check", "rules", str(RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_only_the_alarms_of_what_is_wrong_fire(tmp_path: Path) -> None:
    case = {
        "rule_files": [str(RULES)],
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": name, "values": f"{value}x60"} for name, value in GIVEN.items()
                ],
                "promql_expr_test": [
                    {
                        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                        "eval_time": "50m",
                        "exp_samples": [
                            {"labels": f'{{alertname="{name}"}}', "value": 1} for name in FIRING
                        ],
                    }
                ],
            }
        ],
    }
    file = tmp_path / "case.yml"
    file.write_text(yaml.safe_dump(case), encoding="utf-8")
    tested = promtool("test", "rules", str(file))
    assert tested.returncode == 0, tested.stdout + tested.stderr
