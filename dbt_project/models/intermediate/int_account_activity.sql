-- One row per account that was ever active: its activity as of the run.
with

activity as (
  select * from {{ ref('fct_account_activity_daily') }}
),

accounts as (
  select * from {{ ref('dim_accounts') }}
),

-- Days are added up before accounts are looked up: there are many more of them.
summed as (
  select
    account_id,
    count(*) as active_days,
    min(activity_date) as first_active_on,
    max(activity_date) as last_active_on,
    min(first_active_at) as first_active_at,
    max(last_active_at) as last_active_at,
    min(first_core_at) as first_core_at,
    min(first_outcome_at) as first_outcome_at,
    min(case when outcome_events > 0 then activity_date end) as first_outcome_on,
    max(case when core_events > 0 then activity_date end) as last_core_on,
    max(case when outcome_events > 0 then activity_date end) as last_outcome_on
  from activity
  group by account_id
),

final as (
  select
    summed.account_id,
    summed.active_days,
    {{ dbt.datediff('summed.first_active_on', 'accounts.as_of_day', 'day') }}
      as days_since_first_active,
    {{ dbt.datediff('summed.last_active_on', 'accounts.as_of_day', 'day') }} as days_silent,
    summed.first_active_at,
    summed.last_active_at,
    summed.first_core_at,
    summed.first_outcome_at,
    summed.first_outcome_on,
    summed.last_active_on,
    summed.last_core_on,
    summed.last_outcome_on
  from summed
  inner join accounts on summed.account_id = accounts.account_id
)

select * from final
