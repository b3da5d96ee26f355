-- One row per account as of the run: how long it has been silent, and how long is normal for it.
with

accounts as (
  select * from {{ ref('dim_accounts') }}
),

activity as (
  select * from {{ ref('int_account_activity') }}
),

rhythms as (
  select * from {{ ref('int_rhythms') }}
),

return_chances as (
  select * from {{ ref('int_return_chances') }}
),

feed_health as (
  select * from {{ ref('feed_health') }}
),

-- The fewer gaps an account has, the more it borrows from its segment: the weight of five gaps.
own_limits as (
  select
    account_id,
    gaps,
    exp(
      (gaps * ln(coalesce(own_gap, 1)) + 5 * ln(coalesce(segment_gap, own_gap))) / (gaps + 5)
    ) as normal_gap
  from rhythms
),

measured as (
  select
    accounts.account_id,
    accounts.segment,
    accounts.days_since_go_live,
    activity.active_days - 1 as repeat_active_days,
    activity.days_since_first_active - activity.days_silent as active_span_days,
    activity.days_since_first_active as age_days,
    activity.last_active_at,
    activity.days_silent,
    cast(case
      when activity.account_id is null then run_context.never_logged_in_days
      else greatest(
        run_context.dormancy_min_days,
        least(
          run_context.dormancy_max_days,
          coalesce(
            floor(round(run_context.dormancy_factor * own_limits.normal_gap, 6)),
            run_context.dormancy_max_days
          )
        )
      )
    end as bigint) as dormancy_limit_days
  from accounts
  cross join {{ ref('stg_run_context') }} as run_context
  inner join own_limits on accounts.account_id = own_limits.account_id
  left join activity on accounts.account_id = activity.account_id
),

judged as (
  select
    measured.*,
    return_chances.p_return_28d,
    case
      when measured.days_silent is not null then measured.days_silent > measured.dormancy_limit_days
      else coalesce(measured.days_since_go_live >= measured.dormancy_limit_days, false)
    end as is_dormant,
    case
      when measured.days_silent is not null
        then
          'silent for ' || {{ counted('measured.days_silent', 'day') }}
          || '; its limit is ' || {{ as_text('measured.dormancy_limit_days') }}
      when measured.days_since_go_live is null then 'not live yet'
      else
        'never logged in, ' || {{ counted('measured.days_since_go_live', 'day') }}
        || ' after go-live; ' || {{ as_text('measured.dormancy_limit_days') }} || ' are allowed'
    end as dormancy_reason
  from measured
  left join return_chances
    on
      coalesce(measured.segment, '') = return_chances.segment
      and measured.days_silent = return_chances.days
      and return_chances.days <= 365
      and return_chances.lasted >= 20
),

final as (
  select
    judged.account_id,
    {{ when_fresh('judged.repeat_active_days') }} as repeat_active_days,
    {{ when_fresh('judged.active_span_days') }} as active_span_days,
    {{ when_fresh('judged.age_days') }} as age_days,
    {{ when_fresh('judged.last_active_at') }} as last_active_at,
    {{ when_fresh('judged.days_silent') }} as days_silent,
    {{ when_fresh('judged.dormancy_limit_days') }} as dormancy_limit_days,
    {{ when_fresh('judged.p_return_28d') }} as p_return_28d,
    {{ when_fresh('judged.is_dormant') }} as is_dormant,
    {{ when_fresh('judged.dormancy_reason') }} as dormancy_reason
  from judged
  cross join feed_health
)

select * from final
