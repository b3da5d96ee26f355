-- One row per day of stored scores: did the accounts that were red then churn more often?
with

health as (
  select * from {{ ref('fct_account_health_daily') }}
),

accounts as (
  select * from {{ ref('dim_accounts') }}
),

-- Only who was still a customer on that day, and only days that are ninety days back.
outcomes as (
  select
    health.day as health_date,
    health.usage_band = 'red' as was_red,
    coalesce(
      accounts.churned_at <= {{ dbt.dateadd('day', 90, 'health.as_of') }}, false
    ) as has_churned,
    {{ dbt.dateadd('day', 90, 'health.as_of') }} <= accounts.as_of as is_known
  from health
  inner join accounts on health.account_id = accounts.account_id
  where
    health.usage_band is not null
    and health.stage <> 'churned'
    and health.as_of <= accounts.as_of
),

counted as (
  select
    health_date,
    min(case when is_known then 1 else 0 end) = 1 as is_known,
    count(case when was_red then 1 end) as red_accounts,
    count(case when not was_red then 1 end) as other_accounts,
    count(case when was_red and has_churned then 1 end) as red_churned,
    count(case when not was_red and has_churned then 1 end) as other_churned
  from outcomes
  group by health_date
),

final as (
  select
    health_date,
    red_accounts,
    other_accounts,
    case when is_known then red_churned end as red_churned,
    case when is_known then other_churned end as other_churned,
    case when is_known then red_churned * 1.0 / nullif(red_accounts, 0) end as red_churn_share,
    case when is_known then other_churned * 1.0 / nullif(other_accounts, 0) end
      as other_churn_share,
    case
      when is_known and red_churned + other_churned >= 20 then 'measured'
      else 'not enough data yet'
    end as status
  from counted
)

select * from final
