-- One row per account stored before the day that the run scores: what needs the usage feed as of
-- the newest day with a fresh one, satisfaction, which needs none, as of the newest day.
with

scoring as (
  select * from {{ ref('int_scoring') }}
),

history as (
  select * from {{ source('history', 'account_health_daily') }}
),

days as (
  select
    max(case when history.feed_status = 'fresh' then history.day end) as newest_fresh,
    max(history.day) as newest
  from history
  cross join scoring
  where history.day < scoring.day
),

-- Of accounts whose part of the feed was late on that day: their own newest fresh one before it.
late_then as (
  select history.account_id
  from history
  inner join days on history.day = days.newest_fresh
  where history.feed_status = 'late'
),

own_days as (
  select
    history.account_id,
    max(history.day) as day
  from history
  inner join days
    on
      history.day < days.newest_fresh
      and history.day >= {{ dbt.dateadd('day', '-' ~ recent_days(), 'days.newest_fresh') }}
  inner join late_then on history.account_id = late_then.account_id
  where history.feed_status = 'fresh'
  group by history.account_id
),

usage as (
  select history.*
  from history
  cross join days
  left join own_days on history.account_id = own_days.account_id
  where
    (history.day = days.newest_fresh and history.feed_status = 'fresh')
    or history.day = own_days.day
),

satisfaction as (
  select history.*
  from history
  inner join days on history.day = days.newest
),

final as (
  select
    usage.day,
    usage.parameters_version,
    usage.score_version,
    usage.definition,
    usage.onboarding_status,
    usage.usage_score_raw,
    usage.usage_health,
    usage.usage_band,
    satisfaction.satisfaction_band,
    usage.change_cause,
    {%- for measure in usage_measures() %}
    usage.{{ measure }},
    {%- endfor %}
    usage.outcomes_total,
    usage.days_silent,
    coalesce(usage.account_id, satisfaction.account_id) as account_id
  from usage
  full outer join satisfaction on usage.account_id = satisfaction.account_id
)

select * from final
