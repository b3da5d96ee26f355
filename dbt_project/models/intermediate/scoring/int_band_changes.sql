-- One row per account and day on which its usage band was another than the day before that has
-- one. A view: only a score report reads it.
{{ config(materialized='view') }}

with

banded as (
  select
    account_id,
    day,
    as_of,
    usage_band as to_band,
    lag(usage_band) over (partition by account_id order by day) as from_band
  from {{ ref('int_health_days_kept') }}
  where usage_band is not null
),

followed as (
  select
    *,
    lead(to_band) over (partition by account_id order by day) as next_band,
    lead(day) over (partition by account_id order by day) as next_day
  from banded
  where from_band <> to_band
),

final as (
  select
    account_id,
    day,
    as_of,
    from_band,
    to_band,
    coalesce(
      next_band = from_band and {{ dbt.datediff('day', 'next_day', 'day') }} <= {{ swing_days() }}, false
    ) as is_reversed
  from followed
)

select * from final
