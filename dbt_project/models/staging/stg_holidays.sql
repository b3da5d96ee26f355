-- One row per country and public holiday.
select
  country_code,
  day as holiday
from {{ source('context', 'holidays') }}
