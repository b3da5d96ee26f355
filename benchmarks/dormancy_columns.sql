-- What somebody would write by hand for account_dormancy with parameters at hand: one query, no
-- table between. Only the life table, which is not needed where there are parameters, is left out.
create or replace table bare_dormancy as
with days as (
  select
    account_id,
    activity_date,
    last_active_at,
    lead(activity_date) over (partition by account_id order by activity_date) as next_active_on
  from intermediate.int_account_days_counted
),

activity as (
  select
    account_id,
    count(*) - 1 as x,
    max(activity_date) - min(activity_date) as t_x,
    date '2026-06-10' - min(activity_date) as age,
    max(activity_date) as last_active_on,
    max(last_active_at) as last_active_at,
    count(next_active_on) filter (activity_date >= date '2025-06-10') as gaps,
    quantile_cont(next_active_on - activity_date, 0.9)
      filter (activity_date >= date '2025-06-10') as own_gap
  from days
  group by account_id
),

accounts as (
  select
    located.account_id,
    coalesce(segment, '') as segment,
    coalesce(country_code, 'JP') as country,
    days_since_go_live,
    least(days_since_go_live, date '2026-06-10' - feed.begins_on) as days_watched,
    activity.* exclude (account_id, gaps),
    coalesce(gaps, 0) as gaps,
    date '2026-06-10' - last_active_on as silent
  from intermediate.int_accounts_located as located
  left join activity using (account_id)
  cross join (select min(activity_date) as begins_on from days) as feed
),

segments as (
  select
    segment,
    quantile_cont(own_gap, 0.5) as gap
  from accounts
  where gaps >= 3
  group by segment
  having count(*) >= 10
),

with_gaps as (
  select
    accounts.*,
    coalesce(fitted.days, segments.gap, company.gap) as segment_gap,
    case
      when gaps >= 3 then exp((gaps * ln(own_gap) + 5 * ln(segment_gap)) / (gaps + 5))
      else segment_gap
    end as usual_gap,
    coalesce(own.r, everyone.r) as r,
    coalesce(own.alpha, everyone.alpha) as alpha,
    coalesce(own.a, everyone.a) as a,
    coalesce(own.b, everyone.b) as b
  from accounts
  left join parameters.segment_gaps as fitted using (segment)
  left join segments using (segment)
  left join parameters.return_parameters as own on accounts.segment = own.segment
  cross join (from parameters.return_parameters where segment = '') as everyone
  cross join (select quantile_cont(own_gap, 0.5) as gap from accounts where gaps >= 3) as company
),

working as (
  select
    country,
    days.day,
    count(*) filter (isodow(days.day) <= 5 and holidays.day is null) over (
      partition by country order by days.day
    ) as working_days
  from (values ('JP'), ('US'), ('GB'), ('DE')) as countries (country)
  cross join (
    select cast(unnest(
      range(timestamp '2026-06-11' - interval 399 day, timestamp '2026-06-12', interval 1 day)
    ) as date) as day
  ) as days
  left join context.holidays as holidays
    on holidays.country_code = countries.country and holidays.day = days.day
),

judged as (
  select
    with_gaps.*,
    case when silent is not null then
      greatest(yesterday.working_days - coalesce(since.working_days, 0), 0)
    end as working_days_silent,
    cast(case when silent is null then 7 else greatest(7, least(90,
      floor(round(factor * sqrt(segment_gap * usual_gap), 6))
    )) end as bigint) as day_limit,
    coalesce(silent, days_watched + 1) > day_limit as is_over
  from with_gaps
  cross join parameters.dormancy_calibration
  left join working as yesterday
    on yesterday.country = with_gaps.country and yesterday.day = date '2026-06-09'
  left join working as since
    on since.country = with_gaps.country and since.day = with_gaps.last_active_on
)

select
  account_id,
  x as repeat_active_days,
  t_x as active_span_days,
  age as age_days,
  last_active_at,
  silent as days_silent,
  day_limit as dormancy_limit_days,
  case when silent is not null then
    (1 - exp(-(r + x) * ln(1 + 28 / (alpha + age))))
    / (1 + exp(least(500, ln(a / (b + x)) - (r + x) * ln((alpha + t_x) / (alpha + age)))))
  end as p_return_28d,
  is_over and coalesce(working_days_silent, 5) >= 5 as is_dormant,
  case
    when silent is null and days_watched < days_since_go_live then
      'no login in the ' || days_watched || if(days_watched = 1, ' day', ' days')
      || ' since the usage feed began; 7 are allowed'
    when silent is null then
      'never logged in, ' || days_since_go_live || ' days after go-live; 7 are allowed'
    when is_over and working_days_silent < 5 then
      'silent for ' || silent || ' days, but only ' || working_days_silent || ' working day'
      || if(working_days_silent = 1, '', 's') || '; its limit is ' || day_limit
      || ', and 5 working days'
    else 'silent for ' || silent || if(silent = 1, ' day', ' days') || '; its limit is '
      || day_limit
  end as dormancy_reason,
  working_days_silent
from judged
