-- One row: the events of the last full day of the company, beside what is usual on its weekday for
-- so many live accounts, at this season.
with

days as (
  select * from {{ ref('int_company_days') }}
),

last_full_day as (
  select *
  from days
  where days_ago = 1
),

changes as (
  select since
  from {{ ref('stg_feed_changes') }}
  where part = 'all'
),

last_business_days as (
  select
    company_day,
    events,
    row_number() over (order by days_ago) as days_back
  from days
  where is_business_day and days_ago >= 1
),

-- The same weekday of the eight weeks before; holidays, the time before the feed, and that before
-- the volume changed for good, left out.
usual as (
  select
    count(*) as weeks,
    {{ quantile('days.events * 1.0 / days.live_accounts', 0.5) }} as events_an_account
  from days
  cross join last_full_day
  left join changes on days.company_day < changes.since
  where
    days.iso_weekday = last_full_day.iso_weekday
    and days.days_ago between 8 and 57
    and not days.is_holiday
    and days.has_feed
    and days.live_accounts > 0
    and changes.since is null
),

measured as (
  select
    last_full_day.company_day as last_full_day,
    last_full_day.events as last_full_day_events,
    case
      when usual.weeks >= 4 and not last_full_day.is_holiday
        then usual.events_an_account * last_full_day.live_accounts * season.season
    end as usual_events,
    season.season
  from last_full_day
  cross join usual
  cross join {{ ref('int_season') }} as season
),

thin as (
  select
    count(*) as thin_days,
    min(last_business_days.company_day) as thin_since
  from last_business_days
  cross join measured
  cross join {{ ref('stg_run_context') }} as run_context
  where
    last_business_days.days_back <= 3
    and last_business_days.events < run_context.feed_min_volume_share * measured.usual_events
),

final as (
  select
    measured.*,
    thin.thin_days,
    thin.thin_since
  from measured
  cross join thin
)

select * from final
