-- One row per score version and snapshot day, and one (day null) over several of them: what the
-- last `lifecycle score-report` found. Intervals are no work for SQL: it computes all of it.
select
  version,
  day,
  reported_at,
  accounts,
  churned,
  is_fitted_on,
  auc,
  auc_low,
  auc_high,
  gain,
  gain_low,
  gain_high,
  top_decile_lift,
  calibration_error,
  brier,
  band_changes,
  reversed_share,
  case when auc is null then 'not enough data yet' else 'measured' end as status
from {{ ref('stg_score_validation') }}
