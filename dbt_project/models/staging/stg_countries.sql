-- One row per spelling of a country in the data.
select
  name as country,
  country_code,
  time_zone,
  zones
from {{ source('context', 'countries') }}
