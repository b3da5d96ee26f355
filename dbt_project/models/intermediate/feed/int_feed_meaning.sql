-- One row: what the names of the last days' events say of the feed, beside the weeks before; null
-- where there is nothing to say.
{# A name is sudden that is most of the last full day's events, of which there are enough to say
    so, and was not half so much before. #}
{% set most_of_a_day, enough_events, far_less = 0.6, 50, 0.5 %}
{# Accounts are suddenly active where nearly all are on one day, by a tenth of them more than on any
    of ten days before; of fewer than twenty nobody can say. #}
{% set nearly_all, more, enough_accounts, enough_days = 0.95, 0.1, 20, 10 %}

with

names as (
  select * from {{ ref('int_recent_event_names') }}
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
  where
    events_now >= {{ enough_events }}
    and share_now > {{ most_of_a_day }}
    and share_before < {{ far_less }} * share_now
),

-- How many of the accounts were active on the last full day, and on business days before.
active as (
  select
    recent_days.days_back,
    count(*) as accounts
  from {{ ref('int_account_days_counted') }} as activity
  inner join {{ ref('int_recent_business_days') }} as recent_days
    on activity.activity_date = recent_days.company_day
  group by recent_days.days_back
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
        everybody.days_before >= {{ enough_days }}
        and live.accounts >= {{ enough_accounts }}
        and everybody.active_now >= {{ nearly_all }} * live.accounts
        and everybody.active_now >= everybody.most_before + {{ more }} * live.accounts
        then everybody.active_now
    end as suddenly_active
  from sudden_names
  cross join everybody
  cross join live
)

select * from final
