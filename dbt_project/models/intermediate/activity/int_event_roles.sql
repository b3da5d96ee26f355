-- One row per event name that means something.
-- Patterns meet the distinct names, not every event.
with

event_names as (
  select distinct event_name from {{ ref('stg_usage_events') }}
),

event_roles as (
  select * from {{ ref('stg_event_roles') }}
),

final as (
  select
    event_names.event_name,
    max(case when event_roles.role in ('core', 'outcome') then 1 else 0 end) = 1 as is_core,
    max(case when event_roles.role = 'outcome' then 1 else 0 end) = 1 as is_outcome
  from event_names
  inner join event_roles on event_names.event_name like event_roles.like_pattern escape '!'
  where event_roles.role <> 'support'
  group by event_names.event_name
)

select * from final
