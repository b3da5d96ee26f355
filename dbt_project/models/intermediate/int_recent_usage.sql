-- One row per account with activity in its last 28 local days: who was active, and in what.
with

usage_events as (
  select * from {{ ref('int_usage_events') }}
),

accounts as (
  select * from {{ ref('dim_accounts') }}
),

recent as (
  select
    usage_events.account_id,
    usage_events.user_id,
    usage_events.feature
  from usage_events
  inner join accounts on usage_events.account_id = accounts.account_id
  {{ join_offset('zone', 'usage_events.time_zone', 'usage_events.occurred_at') }}
  where
    usage_events.occurred_at > {{ dbt.dateadd('day', -30, 'accounts.as_of') }}
    and {{ local_day('usage_events.occurred_at', 'zone') }}
    > {{ dbt.dateadd('day', -28, 'accounts.as_of_day') }}
),

final as (
  select
    account_id,
    count(distinct user_id) as active_users,
    count(distinct feature) as features_used
  from recent
  group by account_id
)

select * from final
