-- One row per score version: what its score is before any bin's points.
select
  version,
  max(base_points) as base_points,
  max(base_ln_odds) as base_ln_odds
from {{ source('parameters', 'evidence_base') }}
group by version
