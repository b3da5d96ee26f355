-- One row per score version, measure and bin: above < value <= up_to, or both null: not known.
select
  version,
  measure,
  above,
  up_to,
  points
from {{ source('parameters', 'evidence_bins') }}
