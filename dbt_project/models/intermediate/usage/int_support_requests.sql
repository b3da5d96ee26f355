-- One row per account that asked for help in the last 28 days.
with

usage_events as (
  select
    account_id,
    event_name
  from {{ ref('stg_usage_events') }}
  where
    occurred_at > (
      select {{ dbt.dateadd('day', '-' ~ recent_days(), 'as_of') }} from {{ ref('stg_run_context') }}
    )
),

patterns as (
  select like_pattern from {{ ref('stg_event_roles') }}
  where role = 'support'
),

support_names as (
  select event_names.event_name
  from (select distinct event_name from usage_events) as event_names
  where exists (
    select 1 from patterns
    where event_names.event_name like patterns.like_pattern escape '!'
  )
),

final as (
  select
    usage_events.account_id,
    count(*) as requests
  from usage_events
  inner join support_names on usage_events.event_name = support_names.event_name
  group by usage_events.account_id
)

select * from final
