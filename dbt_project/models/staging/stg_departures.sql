-- One row per address that any row of the newest delivery shows as having left.
select
  address as email_normalized,
  coalesce(left_at, seen_at) as unsubscribed_at
from {{ source('raw', 'departures') }}
