-- One row per account that was ever active: its activity as of the run.
with

activity as (
  select * from {{ ref('fct_account_activity_daily') }}
),

accounts as (
  select * from {{ ref('dim_accounts') }}
),

aged as (
  select
    activity.*,
    {{ dbt.datediff('activity.activity_date', 'accounts.as_of_day', 'day') }} as days_ago
  from activity
  inner join accounts on activity.account_id = accounts.account_id
),

final as (
  select
    account_id,
    count(*) as active_days,
    max(days_ago) as days_since_first_active,
    min(days_ago) as days_silent,
    min(first_active_at) as first_active_at,
    max(last_active_at) as last_active_at,
    min(first_core_at) as first_core_at,
    min(first_outcome_at) as first_outcome_at,
    min(case when outcome_events > 0 then activity_date end) as first_outcome_on,
    max(activity_date) as last_active_on,
    max(case when core_events > 0 then activity_date end) as last_core_on,
    max(case when outcome_events > 0 then activity_date end) as last_outcome_on
  from aged
  group by account_id
)

select * from final
