"""The tables in which the scores' parameters and figures are kept, by version.

They are only ever added to. Times are naive UTC.
"""

from __future__ import annotations

import duckdb

TABLES = {
    "score_versions": (
        "version varchar, fitted_at timestamp, has_return boolean, has_evidence boolean,"
        " accounts bigint, churned bigint, note varchar"
    ),
    "return_parameters": (
        "version varchar, segment varchar, r double, alpha double, a double, b double,"
        " accounts bigint, ln_likelihood double"
    ),
    "return_weights": "version varchar, term varchar, weight double",
    "segment_gaps": "version varchar, segment varchar, days double",
    "dormancy_calibration": (
        "version varchar, factor double, alarms_a_year double, alive_years double"
    ),
    "evidence_bins": (
        "version varchar, measure varchar, above double, up_to double, churned bigint,"
        " stayed bigint, evidence double, points double"
    ),
    "evidence_base": (
        "version varchar, measure varchar, weight double, base_points double, base_ln_odds double"
    ),
    "band_bounds": (
        "version varchar, green_from double, yellow_from double, usual_chance double,"
        " meaning varchar"
    ),
    "candidates": (
        "version varchar, candidate varchar, auc double, gain double, gain_low double,"
        " gain_high double, top_decile_lift double, calibration_error double, is_chosen boolean"
    ),
    "held_versions": "version varchar, why varchar",
    "accepted_versions": (
        "version varchar, accepted_at timestamp, accepted_by varchar, why varchar"
    ),
}
VALIDATION = "score_validation"
VALIDATION_COLUMNS = (
    "version varchar, day date, reported_at timestamp, accounts bigint, churned bigint,"
    " is_fitted_on boolean, auc double, auc_low double, auc_high double,"
    " gain double, gain_low double, gain_high double, top_decile_lift double,"
    " calibration_error double, brier double, band_changes double, reversed_share double"
)


def ensure(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the missing tables, empty, within the caller's transaction."""
    connection.execute("create schema if not exists parameters")
    for table, columns in {**TABLES, VALIDATION: VALIDATION_COLUMNS}.items():
        connection.execute(f"create table if not exists parameters.{table} ({columns})")
