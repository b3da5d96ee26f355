-- One row per account that is live or was ever active, while the feed is fresh: its recent usage.
with

windows as (
  select * from {{ ref('int_usage_windows') }}
),

activity as (
  select * from {{ ref('int_account_days_counted') }}
),

recent_users as (
  select * from {{ ref('int_recent_users') }}
),

aged as (
  select
    windows.account_id,
    windows.window_days,
    activity.outcome_events,
    {{ dbt.datediff('activity.activity_date', 'windows.as_of_day', 'day') }} as days_ago
  from windows
  inner join activity on windows.account_id = activity.account_id
  where
    activity.activity_date
    > {{ dbt.dateadd('day', '-2 * windows.window_days', 'windows.as_of_day') }}
),

summed as (
  select
    account_id,
    count(case when days_ago < window_days then 1 end) as active_days,
    count(case when days_ago >= window_days then 1 end) as active_days_before,
    sum(case when days_ago < window_days then outcome_events else 0 end) as outcomes
  from aged
  group by account_id
),

final as (
  select
    windows.account_id,
    windows.seats,
    windows.days_silent,
    windows.dormancy_limit_days,
    windows.days_watched,
    windows.age_days,
    windows.window_days,
    coalesce(summed.active_days, 0) as active_days,
    coalesce(summed.active_days_before, 0) as active_days_before,
    cast(coalesce(summed.outcomes, 0) as bigint) as outcomes,
    coalesce(recent_users.active_users_28d, 0) as active_users_28d,
    coalesce(recent_users.features_used, 0) as features_used,
    max(coalesce(recent_users.features_used, 0)) over () > 0 as has_features
  from windows
  left join summed on windows.account_id = summed.account_id
  left join recent_users on windows.account_id = recent_users.account_id
)

select * from final
