-- One row or none: the factor of the dormancy limit that the version in use set.
select
  calibration.factor,
  calibration.alarms_a_year,
  calibration.alive_years
from {{ source('parameters', 'dormancy_calibration') }} as calibration
inner join {{ ref('stg_score_version') }} as score_version
  on calibration.version = score_version.version
