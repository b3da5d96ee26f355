-- One row per part of the usage feed and day of the company's calendar, of the last nine weeks: a
-- part is a stream of files, a segment, a country or the name of an event that means something.
with

run_context as (
  select * from {{ ref('stg_run_context') }}
),

accounts as (
  select * from {{ ref('int_accounts_located') }}
),

-- Files of one stream differ by a date or a number.
dated as (
  select
    usage_events.account_id,
    event_roles.event_name,
    translate(usage_events.file, '0123456789', '') as stream,
    {{ local_day('usage_events.occurred_at', 'zone') }} as company_day
  from {{ ref('stg_usage_events') }} as usage_events
  cross join run_context
  {{ join_offset('zone', 'run_context.company_time_zone', 'usage_events.occurred_at') }}
  left join {{ ref('int_event_roles') }} as event_roles
    on usage_events.event_name = event_roles.event_name
  where usage_events.occurred_at > {{ dbt.dateadd('day', -63, 'run_context.as_of') }}
),

counted as (
  select
    dated.company_day,
    dated.event_name,
    dated.stream,
    accounts.segment,
    accounts.country_code,
    count(*) as events
  from dated
  inner join accounts on dated.account_id = accounts.account_id
  group by
    dated.company_day, dated.event_name, dated.stream, accounts.segment, accounts.country_code
),

parts as (
  {%- for kind, column in feed_parts().items() %}
  select
    '{{ kind }}' as kind,
    {{ column }} as part,
    company_day,
    events
  from counted
  where {{ column }} is not null
  {%- if not loop.last %}
  union all
  {%- endif %}
  {%- endfor %}
),

final as (
  select
    kind,
    part,
    company_day,
    sum(events) as events
  from parts
  group by kind, part, company_day
)

select * from final
