-- One row per score version and snapshot day that the last score report judged.
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
  reversed_share
from {{ source('parameters', 'score_validation') }}
