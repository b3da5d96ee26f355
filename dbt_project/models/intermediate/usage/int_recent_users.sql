-- One row per account with activity in its window: who was active, and with what.
{% set earliest = 'select ' ~ dbt.dateadd('day', '-max(window_days) - 2', 'max(as_of)')
  ~ ' from ' ~ ref('int_usage_windows') %}

with

usage_events as (
  select * from {{ ref('int_usage_events') }}
),

windows as (
  select * from {{ ref('int_usage_windows') }}
),

dated as (
  select
    usage_events.account_id,
    usage_events.user_id,
    usage_events.feature,
    windows.window_days,
    {{ dbt.datediff(local_day('usage_events.occurred_at', 'zone'), 'windows.as_of_day', 'day') }}
      as days_ago
  from usage_events
  inner join windows on usage_events.account_id = windows.account_id
  {{ join_offset('zone', 'usage_events.time_zone', 'usage_events.occurred_at') }}
  where usage_events.occurred_at > {{ moments(earliest, of=ref('int_usage_windows'))[0] }}
),

final as (
  select
    account_id,
    count(distinct case when days_ago < {{ recent_days() }} then user_id end) as active_users_28d,
    count(distinct case when days_ago < window_days then feature end) as features_used
  from dated
  group by account_id
)

select * from final
