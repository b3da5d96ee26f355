-- One row per event that means something, of an account that exists.
{{ config(materialized='view') }}

with

usage_events as (
  select * from {{ ref('stg_usage_events') }}
),

event_roles as (
  select * from {{ ref('int_event_roles') }}
),

activity_definition as (
  select * from {{ ref('int_activity_definition') }}
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
    activity_definition.time_zone,
    activity_definition.counted_under
  from usage_events
  inner join event_roles on usage_events.event_name = event_roles.event_name
  inner join activity_definition on usage_events.account_id = activity_definition.account_id
)

select * from final
