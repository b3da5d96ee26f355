-- One row per account that was ever active: when it first did what counts, and when last.
with

activity as (
  select * from {{ ref('int_life_days') }}
),

final as (
  select
    account_id,
    min(first_active_at) as first_active_at,
    min(first_core_at) as first_core_at,
    min(first_outcome_at) as first_outcome_at,
    min(case when outcome_events > 0 then activity_date end) as first_outcome_on,
    max(activity_date) as last_active_on,
    max(case when core_events > 0 then activity_date end) as last_core_on,
    max(case when outcome_events > 0 then activity_date end) as last_outcome_on
  from activity
  group by account_id
)

select * from final
