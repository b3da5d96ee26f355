-- One row per spelling of a country in the data.
select
  name as country,
  country_code,
  time_zone
from {{ source('raw', 'countries') }}
