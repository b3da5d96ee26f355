-- One row: what the names of the last days' events say of the feed, beside the weeks before; null
-- where there is nothing to say.
with

days as (
  select * from {{ ref('int_company_days') }}
  where has_feed and is_business_day and days_ago between 1 and {{ recent_days() }}
),

-- 1 and 2 are the last two full business days.
numbered as (
  select
    company_day,
    row_number() over (order by days_ago) as days_back
  from days
),

names as (
  select
    numbered.days_back,
    part_days.part as event_name,
    part_days.events
  from {{ ref('int_part_days') }} as part_days
  inner join numbered on part_days.company_day = numbered.company_day
  where part_days.kind = 'event name'
),

totals as (
  select
    case when days_back = 1 then 1 else 0 end as is_now,
    sum(events) as events
  from names
  group by case when days_back = 1 then 1 else 0 end
),

shares as (
  select
    names.event_name,
    sum(case when names.days_back = 1 then names.events else 0 end) as events_now,
    sum(case when names.days_back = 1 then names.events else 0 end) * 1.0
    / max(now_total.events) as share_now,
    sum(case when names.days_back > 1 then names.events else 0 end) * 1.0
    / max(before_total.events) as share_before
  from names
  inner join totals as now_total on now_total.is_now = 1
  inner join totals as before_total on before_total.is_now = 0
  group by names.event_name
),

sudden_names as (
  select min(event_name) as sudden_name
  from shares
  where events_now >= 50 and share_now > 0.6 and share_before < 0.5 * share_now
),

-- How many of the accounts were active on the last full day, and on business days before.
active as (
  select
    numbered.days_back,
    count(*) as accounts
  from {{ ref('int_account_days_counted') }} as activity
  inner join numbered on activity.activity_date = numbered.company_day
  group by numbered.days_back
),

live as (
  select count(*) as accounts
  from {{ ref('int_accounts_located') }}
  where is_live and not is_churned
),

everybody as (
  select
    max(case when active.days_back = 1 then active.accounts end) as active_now,
    max(case when active.days_back > 1 then active.accounts end) as most_before,
    count(case when active.days_back > 1 then 1 end) as days_before
  from active
),

final as (
  select
    sudden_names.sudden_name,
    case
      when
        everybody.days_before >= 10
        and live.accounts >= 20
        and everybody.active_now >= 0.95 * live.accounts
        and everybody.active_now >= everybody.most_before + 0.1 * live.accounts
        then everybody.active_now
    end as suddenly_active
  from sudden_names
  cross join everybody
  cross join live
)

select * from final
