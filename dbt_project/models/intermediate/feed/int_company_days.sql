-- One row per day of the company's calendar, back from the as-of; events of the last nine weeks.
with

run_context as (
  select
    run_context.*,
    {{ local_day('run_context.as_of', 'zone') }} as today
  from {{ ref('stg_run_context') }} as run_context
  {{ join_offset('zone', 'run_context.company_time_zone', 'run_context.as_of') }}
),

series as (
  {{ dbt.generate_series(400) }}
),

days as (
  select
    run_context.company_country,
    series.generated_number - 1 as days_ago,
    cast({{ dbt.dateadd('day', '1 - series.generated_number', 'run_context.today') }} as date)
      as company_day
  from run_context
  cross join series
),

local_events as (
  select {{ local_day('usage_events.occurred_at', 'zone') }} as company_day
  from {{ ref('stg_usage_events') }} as usage_events
  cross join run_context
  {{ join_offset('zone', 'run_context.company_time_zone', 'usage_events.occurred_at') }}
  where usage_events.occurred_at > {{ dbt.dateadd('day', -63, 'run_context.as_of') }}
),

events as (
  select
    company_day,
    count(*) as events
  from local_events
  group by company_day
),

-- One more lives from its go-live on, one less from its churn on.
changes as (
  select
    went_live_on as changed_on,
    1 as change
  from {{ ref('int_accounts_located') }}
  where not (is_churned and churned_at is null)
  union all
  select
    cast(churned_at as date) as changed_on,
    -1 as change
  from {{ ref('int_accounts_located') }}
  where churned_at is not null and went_live_on is not null
),

changes_by_day as (
  select
    changed_on,
    sum(change) as change
  from changes
  group by changed_on
),

live as (
  select
    days.company_day,
    sum(changes_by_day.change) as live_accounts
  from days
  inner join changes_by_day on days.company_day >= changes_by_day.changed_on
  group by days.company_day
),

-- The feed's first day may be half a day: comparable are the days after it.
feed as (
  select cast(min(occurred_at) as date) as begins_on from {{ ref('stg_usage_events') }}
),

dated as (
  select
    days.*,
    holidays.holiday is not null as is_holiday,
    {{ iso_weekday('days.company_day') }} as iso_weekday,
    weekends.iso_weekday is not null as is_weekend,
    coalesce(events.events, 0) as events,
    coalesce(live.live_accounts, 0) as live_accounts
  from days
  left join {{ ref('stg_holidays') }} as holidays
    on days.company_country = holidays.country_code and days.company_day = holidays.holiday
  left join {{ ref('stg_weekends') }} as weekends
    on
      days.company_country = weekends.country_code
      and {{ iso_weekday('days.company_day') }} = weekends.iso_weekday
  left join events on days.company_day = events.company_day
  left join live on days.company_day = live.company_day
),

final as (
  select
    dated.company_day,
    dated.days_ago,
    dated.iso_weekday,
    dated.is_holiday,
    not dated.is_weekend and not dated.is_holiday as is_business_day,
    dated.events,
    dated.live_accounts,
    coalesce(dated.company_day > feed.begins_on, false) as has_feed
  from dated
  cross join feed
)

select * from final
