-- One row per account that was ever active: what its chance of return is worked out from, beside its
-- whole life.
with

activity as (
  select * from {{ ref('int_account_activity') }}
),

company as (
  select * from {{ ref('int_company_activity') }}
),

present as (
  select max(counted_days) as counted_days from company
),

recent as (
  select
    days.account_id,
    count(*) as active_days_of_28
  from {{ ref('int_life_days') }} as days
  cross join {{ ref('stg_return_weights') }}
  inner join {{ ref('int_accounts_located') }} as accounts
    on days.account_id = accounts.account_id
  where
    days.activity_date > {{ dbt.dateadd('day', '-' ~ recent_days(), 'accounts.as_of_day') }}
  group by days.account_id
),

final as (
  select
    activity.account_id,
    coalesce(recent.active_days_of_28, 0) as active_days_of_28,
    present.counted_days - company.counted_days as silence_counted
  from activity
  cross join present
  inner join company on activity.last_active_on = company.activity_on
  left join recent on activity.account_id = recent.account_id
)

select * from final
