-- One row per score version that has bounds of its own: from which scores on it is green, and yellow.
select
  version,
  green_from,
  yellow_from
from {{ source('parameters', 'band_bounds') }}
