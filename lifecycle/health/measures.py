"""The measures of usage that the scores are made of: columns of fct_account_health_daily."""

from __future__ import annotations

MEASURES = (
    "recency_share",
    "active_days_28",
    "active_users_share",
    "features_used_28",
    "trend_28",
    "outcomes_28",
    "support_load",
)
"""What an account does, as the macro usage_measures has them."""
