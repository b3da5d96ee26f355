-- One row per account as of the run: how long it has been silent, and how long is normal for it.
with

accounts as (
  select * from {{ ref('int_accounts_located') }}
),

activity as (
  select * from {{ ref('int_account_activity') }}
),

watched as (
  select * from {{ ref('int_watched_days') }}
),

segment_gaps as (
  select * from {{ ref('int_segment_gaps') }}
),

working_days as (
  select * from {{ ref('int_working_days') }}
),

return_chances as (
  select * from {{ ref('int_account_return_chances') }}
),

account_feed as (
  select * from {{ ref('int_account_feeds_judged') }}
),

thresholds as (
  select
    run_context.*,
    coalesce(
      (select calibration.factor from {{ ref('stg_dormancy_calibration') }} as calibration),
      run_context.dormancy_factor
    ) as factor
  from {{ ref('stg_run_context') }} as run_context
),

-- The fewer gaps an account has, the more it borrows from its segment.
rhythms as (
  select
    activity.*,
    segment_gaps.segment_gap,
    case
      when activity.gaps >= {{ rhythm_gaps() }}
        then exp(
          (
            activity.gaps * ln(activity.own_gap)
            + {{ segment_weight() }} * ln(segment_gaps.segment_gap)
          ) / (activity.gaps + {{ segment_weight() }})
        )
      else segment_gaps.segment_gap
    end as usual_gap
  from activity
  left join segment_gaps on activity.segment = segment_gaps.segment
),

-- Nobody is silent before there was something to be silent about: a go-live, the end of a churn.
silences as (
  select
    accounts.account_id,
    accounts.country_code,
    accounts.as_of_day,
    accounts.days_since_go_live,
    watched.days_watched,
    watched.came_back,
    coalesce(watched.is_unwatched, false) as is_unwatched,
    case
      when rhythms.account_id is not null
        then greatest(
          rhythms.last_active_on, coalesce(watched.silent_from, rhythms.last_active_on)
        )
      when watched.came_back then watched.silent_from
    end as silent_since
  from accounts
  inner join watched on accounts.account_id = watched.account_id
  left join rhythms on accounts.account_id = rhythms.account_id
),

measured as (
  select
    silences.account_id,
    silences.days_since_go_live,
    silences.days_watched,
    silences.came_back,
    silences.is_unwatched,
    rhythms.active_days - 1 as repeat_active_days,
    rhythms.days_since_first_active - rhythms.days_silent as active_span_days,
    rhythms.days_since_first_active as age_days,
    rhythms.last_active_at,
    coalesce(
      case
        when rhythms.last_active_on is null or silences.silent_since > rhythms.last_active_on
          then {{ dbt.datediff('silences.silent_since', 'silences.as_of_day', 'day') }}
      end,
      rhythms.days_silent
    ) as days_silent,
    -- Who was last active before the first of the days has had working days enough since.
    case
      when silences.silent_since is not null or rhythms.account_id is not null
        then
          until_yesterday.working_days
          - least(until_yesterday.working_days, coalesce(until_active.working_days, 0))
    end as working_days_silent,
    thresholds.dormancy_min_working_days as min_working_days,
    return_chances.p_return_28d,
    cast(case
      when rhythms.account_id is null then thresholds.never_logged_in_days
      else greatest(
        thresholds.dormancy_min_days,
        least(
          thresholds.dormancy_max_days,
          coalesce(
            floor({{ rounded(
              'thresholds.factor * sqrt(rhythms.segment_gap * rhythms.usual_gap)', 6
            ) }}),
            thresholds.dormancy_max_days
          )
        )
      )
    end as bigint) as dormancy_limit_days
  from silences
  cross join thresholds
  left join rhythms on silences.account_id = rhythms.account_id
  left join return_chances on silences.account_id = return_chances.account_id
  left join working_days as until_yesterday
    on
      coalesce(silences.country_code, thresholds.company_country) = until_yesterday.country_code
      and cast({{ dbt.dateadd('day', -1, 'silences.as_of_day') }} as date)
      = until_yesterday.calendar_day
  left join working_days as until_active
    on
      until_yesterday.country_code = until_active.country_code
      and silences.silent_since = until_active.calendar_day
),

compared as (
  select
    *,
    coalesce(days_silent, days_watched + 1, 0) > dormancy_limit_days as is_over_limit,
    coalesce(working_days_silent < min_working_days, false) as is_over_holidays
  from measured
),

judged as (
  select
    *,
    is_over_limit and not is_over_holidays as is_dormant,
    case
      when days_silent is not null and is_over_limit and is_over_holidays
        then
          'silent for ' || {{ counted('days_silent', 'day') }} || ', but only '
          || {{ counted('working_days_silent', 'working day') }} || '; its limit is '
          || {{ as_text('dormancy_limit_days') }} || ', and '
          || {{ counted('min_working_days', 'working day') }}
      when came_back and last_active_at is null
        then
          'no login in the ' || {{ counted('days_silent', 'day') }}
          || ' since it came back; ' || {{ as_text('dormancy_limit_days') }} || ' are allowed'
      when days_silent is not null
        then
          'silent for ' || {{ counted('days_silent', 'day') }}
          || '; its limit is ' || {{ as_text('dormancy_limit_days') }}
      when days_since_go_live is null then 'not live yet'
      when days_watched < days_since_go_live
        then
          'no login in the ' || {{ counted('days_watched', 'day') }}
          || ' since the usage feed began; ' || {{ as_text('dormancy_limit_days') }}
          || ' are allowed'
      else
        'never logged in, ' || {{ counted('days_since_go_live', 'day') }}
        || ' after go-live; ' || {{ as_text('dormancy_limit_days') }} || ' are allowed'
    end as dormancy_reason
  from compared
),

final as (
  select
    accounts.account_id,
    {{ when_fresh('known.repeat_active_days') }} as repeat_active_days,
    {{ when_fresh('known.active_span_days') }} as active_span_days,
    {{ when_fresh('known.age_days') }} as age_days,
    {{ when_fresh('known.last_active_at') }} as last_active_at,
    {{ when_fresh('known.days_silent') }} as days_silent,
    {{ when_fresh('known.dormancy_limit_days') }} as dormancy_limit_days,
    {{ when_fresh('known.p_return_28d') }} as p_return_28d,
    {{ when_fresh('known.is_dormant') }} as is_dormant,
    {{ when_fresh('known.dormancy_reason') }} as dormancy_reason,
    {{ when_fresh('known.working_days_silent') }} as working_days_silent
  from accounts
  left join judged as known on accounts.account_id = known.account_id and not known.is_unwatched
  inner join account_feed on accounts.account_id = account_feed.account_id
)

select * from final
