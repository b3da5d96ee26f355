"""A short hash of the usage score's rules: it changes when they do."""

from __future__ import annotations

import json
import re
from functools import cache
from hashlib import sha256
from pathlib import Path

from lifecycle.settings import CHECKOUT, Settings

RULES = (
    "macros/health.sql",
    "macros/score_constants.sql",
    "macros/account_days.sql",
    "macros/clock.sql",
    "macros/engine.sql",
    "macros/local_time.sql",
    "macros/unknown_when_late.sql",
    "models/staging/stg_run_context.sql",
    "models/staging/stg_zone_offsets.sql",
    "models/staging/stg_countries.sql",
    "models/staging/stg_accounts.sql",
    "models/intermediate/accounts/int_accounts_located.sql",
    "models/staging/stg_usage_events.sql",
    "models/staging/stg_event_roles.sql",
    "models/intermediate/activity/int_activity_definition.sql",
    "models/intermediate/activity/int_event_roles.sql",
    "models/intermediate/activity/int_usage_events.sql",
    "models/intermediate/activity/int_account_days_counted.sql",
    "models/intermediate/accounts/int_lives.sql",
    "models/intermediate/activity/int_life_days.sql",
    "models/intermediate/activity/int_silences.sql",
    "models/intermediate/activity/int_account_activity.sql",
    "models/intermediate/accounts/int_watched_days.sql",
    "models/staging/stg_score_version.sql",
    "models/staging/stg_segment_gaps.sql",
    "models/staging/stg_dormancy_calibration.sql",
    "models/intermediate/activity/int_segment_gaps.sql",
    "models/intermediate/activity/int_dormancy_judged.sql",
    "models/intermediate/usage/int_usage_windows.sql",
    "models/intermediate/usage/int_recent_users.sql",
    "models/intermediate/usage/int_account_usage.sql",
    "models/intermediate/usage/int_support_requests.sql",
    "models/intermediate/usage/int_outcomes_total.sql",
    "models/intermediate/usage/int_usage_measures.sql",
    "models/intermediate/usage/int_peer_ranks.sql",
    "models/staging/stg_evidence_base.sql",
    "models/staging/stg_evidence_bins.sql",
    "models/staging/stg_band_bounds.sql",
    "models/intermediate/scoring/int_scoring.sql",
    "models/intermediate/scoring/int_measure_thresholds.sql",
    "models/intermediate/health/int_usage_points.sql",
    "models/intermediate/health/int_usage_health.sql",
    "models/intermediate/health/int_health_before.sql",
    "models/intermediate/health/int_account_health.sql",
)
"""The files of the dbt project that say how the measures are taken and what they are worth."""

_NO_RULE = re.compile(r"\{#.*?#\}|--[^\n]*|\s+", re.DOTALL)
"""Comments and white space: they do not change a rule."""


PROJECT = CHECKOUT / "dbt_project"


def definition(settings: Settings, project: Path = PROJECT) -> str:
    """Eight hexadecimal digits over the rules' SQL and the settings that they read."""
    read = (settings.health, settings.dormancy, settings.events)
    values = json.dumps([section.model_dump(mode="json") for section in read], sort_keys=True)
    return sha256(f"{_rules(project)}{values}".encode()).hexdigest()[:8]


@cache
def _rules(project: Path) -> str:
    files = (project / file for file in RULES)
    texts = (file.read_text(encoding="utf-8") for file in files if file.is_file())
    return "\n".join(_NO_RULE.sub(" ", text) for text in texts)
