-- One row per part of the usage feed that has a usual volume: whether it came on the last full day.
with

run_context as (
  select * from {{ ref('stg_run_context') }}
),

accounts as (
  select * from {{ ref('int_accounts_located') }}
  where not (is_churned and churned_at is null)
),

last_full_day as (
  select *
  from {{ ref('int_company_days') }}
  where days_ago = 1
),

-- The same weekday of the eight weeks before; holidays, and the time before the feed, left out.
compared as (
  select
    days.company_day,
    days.days_ago
  from {{ ref('int_company_days') }} as days
  cross join last_full_day
  where
    days.days_ago = 1
    or (
      days.iso_weekday = last_full_day.iso_weekday
      and days.days_ago between 8 and 57
      and not days.is_holiday
      and days.has_feed
    )
),

live as (
  select
    compared.company_day,
    accounts.segment,
    accounts.country_code,
    count(*) as accounts
  from accounts
  inner join compared
    on
      accounts.went_live_on <= compared.company_day
      and (accounts.churned_at is null or accounts.churned_at > compared.company_day)
  group by compared.company_day, accounts.segment, accounts.country_code
),

live_parts as (
  select
    company_day,
    'segment' as kind,
    segment as part,
    accounts
  from live
  union all
  select
    company_day,
    'country' as kind,
    country_code as part,
    accounts
  from live
),

live_accounts as (
  select
    company_day,
    kind,
    part,
    sum(accounts) as accounts
  from live_parts
  group by company_day, kind, part
),

live_all as (
  select
    company_day,
    sum(accounts) as accounts
  from live
  group by company_day
),

parts as (
  select
    kind,
    part,
    min(company_day) as first_day
  from {{ ref('int_part_days') }}
  group by kind, part
),

changes as (
  select * from {{ ref('stg_feed_changes') }}
),

last_business_days as (
  select
    company_day,
    row_number() over (order by days_ago) as days_back
  from {{ ref('int_company_days') }}
  where is_business_day and days_ago >= 1
),

-- A part's events a live account, on each of the days; not of before its volume changed.
rates as (
  select
    parts.kind,
    parts.part,
    compared.days_ago,
    coalesce(part_days.events, 0) as events,
    coalesce(live_accounts.accounts, live_all.accounts) as accounts,
    coalesce(part_days.events, 0) * 1.0 / coalesce(live_accounts.accounts, live_all.accounts)
      as rate
  from parts
  inner join compared on parts.first_day < compared.company_day
  inner join live_all on compared.company_day = live_all.company_day
  left join live_accounts
    on
      parts.kind = live_accounts.kind
      and parts.part = live_accounts.part
      and compared.company_day = live_accounts.company_day
  left join {{ ref('int_part_days') }} as part_days
    on
      parts.kind = part_days.kind
      and parts.part = part_days.part
      and compared.company_day = part_days.company_day
  left join changes on parts.kind || ' ' || parts.part = changes.part
  where
    compared.days_ago = 1
    or changes.since is null
    or compared.company_day >= changes.since
),

usual as (
  select
    kind,
    part,
    count(*) as weeks,
    {{ quantile('rate', 0.5) }} as rate
  from rates
  where days_ago > 1
  group by kind, part
),

measured as (
  select
    today.kind,
    today.part,
    last_full_day.company_day as last_full_day,
    today.events as last_full_day_events,
    -- Where less came of everything, less is expected of each name: a missing segment takes its
    -- names with it.
    usual.rate * today.accounts * volume.season
    * case
      when today.kind = 'event name' and volume.last_full_day_events < volume.usual_events
        then volume.last_full_day_events / volume.usual_events
      else 1.0
    end as usual_events,
    volume.usual_events as all_usual_events,
    run_context.feed_min_volume_share,
    run_context.feed_min_part_events
  from rates as today
  inner join usual on today.kind = usual.kind and today.part = usual.part
  cross join last_full_day
  cross join run_context
  cross join {{ ref('int_feed_volume') }} as volume
  where today.days_ago = 1 and usual.weeks >= 4 and not last_full_day.is_holiday
),

-- A part that is nearly all of the feed is judged as the feed is. In a segment or country of a tenth
-- of the events or less, a few accounts that rest for a day are half of them.
judged as (
  select
    *,
    case
      when last_full_day_events < feed_min_volume_share * usual_events then 'late'
      else 'fresh'
    end as feed_status
  from measured
  where
    usual_events >= feed_min_part_events
    and usual_events < 0.9 * all_usual_events
    and (kind not in ('segment', 'country') or usual_events >= 0.1 * all_usual_events)
),

thin as (
  select
    judged.kind,
    judged.part,
    count(*) as thin_days,
    min(last_business_days.company_day) as thin_since
  from judged
  inner join last_business_days on last_business_days.days_back <= 3
  left join {{ ref('int_part_days') }} as part_days
    on
      judged.kind = part_days.kind
      and judged.part = part_days.part
      and last_business_days.company_day = part_days.company_day
  where coalesce(part_days.events, 0) < judged.feed_min_volume_share * judged.usual_events
  group by judged.kind, judged.part
),

final as (
  select
    judged.kind,
    judged.part,
    judged.last_full_day,
    judged.last_full_day_events,
    judged.usual_events,
    judged.feed_status,
    coalesce(thin.thin_days, 0) as thin_days,
    thin.thin_since
  from judged
  left join thin on judged.kind = thin.kind and judged.part = thin.part
)

select * from final
