-- One row per silence of an account in the last year: ended by an active day, or still open.
with

activity as (
  select * from {{ ref('fct_account_activity_daily') }}
),

accounts as (
  select * from {{ ref('dim_accounts') }}
),

active_days as (
  select
    accounts.account_id,
    coalesce(accounts.segment, '') as segment,
    accounts.as_of_day,
    activity.activity_date,
    lead(activity.activity_date) over (
      partition by accounts.account_id order by activity.activity_date
    ) as next_active_day
  from activity
  inner join accounts on activity.account_id = accounts.account_id
  where activity.activity_date >= {{ dbt.dateadd('day', -365, 'accounts.as_of_day') }}
),

final as (
  select
    account_id,
    segment,
    activity_date as active_on,
    next_active_day is not null as has_ended,
    {{ dbt.datediff('activity_date', 'coalesce(next_active_day, as_of_day)', 'day') }} as days
  from active_days
)

select * from final
