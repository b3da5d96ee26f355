"""The measures of usage that scores are made of, by their columns in the warehouse."""

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

PEER_MEASURES = (
    "peer_silence",
    "peer_active_days",
    "peer_features",
    "peer_outcomes",
    "peer_outcomes_total",
)
"""Its ranks among its peers, as the macro peer_measures has them."""

ALL_MEASURES = (*MEASURES, *PEER_MEASURES)

MORE_IS_WORSE = frozenset({"recency_share", "support_load", "peer_silence"})
"""Measures of which more means that an account leaves sooner; of the others less does."""
