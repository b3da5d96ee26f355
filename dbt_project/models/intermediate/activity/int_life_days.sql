-- One row per account and local day on which it was active, since it came back where it did.
{{ config(materialized='view') }}

with

lives as (
  select * from {{ ref('int_lives') }}
),

final as (
  select
    activity.account_id,
    activity.activity_date,
    activity.core_events,
    activity.outcome_events,
    activity.first_active_at,
    activity.last_active_at,
    activity.first_core_at,
    activity.first_outcome_at
  from {{ ref('int_account_days_counted') }} as activity
  left join lives on activity.account_id = lives.account_id
  where activity.activity_date >= coalesce(lives.came_back_on, activity.activity_date)
)

select * from final
