-- One row per event that means something, of an account that exists.
{{ config(materialized='view') }}

with

usage_events as (
  select * from {{ ref('stg_usage_events') }}
),

event_roles as (
  select * from {{ ref('int_event_roles') }}
),

counting_rules as (
  select * from {{ ref('int_counting_rules') }}
),

final as (
  select
    usage_events.event_id,
    usage_events.account_id,
    usage_events.user_id,
    usage_events.feature,
    usage_events.occurred_at,
    usage_events.loaded_at,
    event_roles.is_core,
    event_roles.is_outcome,
    counting_rules.time_zone,
    counting_rules.counted_under
  from usage_events
  inner join event_roles on usage_events.event_name = event_roles.event_name
  inner join counting_rules on usage_events.account_id = counting_rules.account_id
)

select * from final
