-- One row per recent business day and name of an event that means something.
{{ config(materialized='view') }}

with

final as (
  select
    recent_days.company_day,
    recent_days.days_back,
    part_days.part as event_name,
    part_days.events
  from {{ ref('int_part_days') }} as part_days
  inner join {{ ref('int_recent_business_days') }} as recent_days
    on part_days.company_day = recent_days.company_day
  where part_days.kind = 'event name'
)

select * from final
