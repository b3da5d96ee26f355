-- One row: how far the volume of this week of the year lies below that of the weeks before it, by
-- the year before; 1 where no year before is known.
with

run_context as (
  select
    run_context.*,
    {{ local_day('run_context.as_of', 'zone') }} as today
  from {{ ref('stg_run_context') }} as run_context
  {{ join_offset('zone', 'run_context.company_time_zone', 'run_context.as_of') }}
),

activity as (
  select
    activity.activity_date,
    activity.events,
    {{ dbt.datediff('activity.activity_date', 'run_context.today', 'day') }} as days_ago
  from {{ ref('int_account_days_counted') }} as activity
  cross join run_context
  where activity.activity_date >= {{ dbt.dateadd('day', -430, 'run_context.today') }}
),

-- The same week of the year, and the eight weeks before it.
weeks as (
  select
    sum(case when days_ago between 362 and 368 then events else 0 end) / 7.0 as events_a_day,
    sum(case when days_ago between 372 and 427 then events else 0 end) / 56.0 as events_before,
    max(case when days_ago between 420 and 427 then 1 else 0 end) as is_known
  from activity
),

final as (
  select
    case
      when is_known = 1 and events_before > 0
        then greatest(0.2, least(1.0, events_a_day / events_before))
      else 1.0
    end as season
  from weeks
)

select * from final
