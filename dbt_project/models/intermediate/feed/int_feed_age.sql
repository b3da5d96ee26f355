-- One row: how old the newest event is, in hours of the company's business days.
with

run_context as (
  select
    run_context.*,
    {{ local_time('run_context.as_of', 'zone') }} as local_now
  from {{ ref('stg_run_context') }} as run_context
  {{ join_offset('zone', 'run_context.company_time_zone', 'run_context.as_of') }}
),

newest as (
  select max(occurred_at) as newest_event_at from {{ ref('stg_usage_events') }}
),

span as (
  select
    newest.newest_event_at,
    {{ local_time('newest.newest_event_at', 'zone') }} as local_newest,
    run_context.local_now
  from newest
  cross join run_context
  {{ join_offset('zone', 'run_context.company_time_zone', 'newest.newest_event_at') }}
),

-- Each business day gives the part of it that lies between the newest event and now.
parts as (
  select
    greatest(span.local_newest, cast(days.company_day as timestamp)) as part_from,
    least(span.local_now, {{ dbt.dateadd('day', 1, 'cast(days.company_day as timestamp)') }})
      as part_until
  from span
  inner join {{ ref('int_company_days') }} as days
    on span.local_newest < {{ dbt.dateadd('day', 1, 'cast(days.company_day as timestamp)') }}
  where days.is_business_day
),

age as (
  select sum({{ dbt.datediff('part_from', 'part_until', 'minute') }}) / 60.0 as business_hours
  from parts
),

final as (
  select
    span.newest_event_at,
    case
      when span.newest_event_at is not null then coalesce(age.business_hours, 0)
    end as age_business_hours
  from span
  cross join age
)

select * from final
