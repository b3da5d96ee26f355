-- One row per account that is live or was ever active, while the feed is fresh: the measures of
-- its usage, null where one cannot be taken.
with

usage as (
  select * from {{ ref('int_account_usage') }}
),

requests as (
  select * from {{ ref('int_support_requests') }}
),

support as (
  select count(*) > 0 as is_known from {{ ref('stg_event_roles') }}
  where role = 'support'
),

-- Days of the last 28 that the account has been there for: a week's use is not a month's.
aged as (
  select
    *,
    least({{ recent_days() }}, age_days) as days_there,
    age_days >= {{ week_days() }} as is_old_enough
  from usage
),

final as (
  select
    usage.account_id,
    cast(coalesce(usage.days_silent, usage.days_watched) as {{ type_double() }})
    / usage.dormancy_limit_days as recency_share,
    case
      when usage.is_old_enough and usage.window_days = {{ recent_days() }}
        then
          {{ rounded(
            'cast(usage.active_days as ' ~ type_double() ~ ') * ' ~ recent_days()
            ~ ' / usage.days_there', 6
          ) }}
    end as active_days_28,
    case
      when usage.is_old_enough and usage.window_days = {{ recent_days() }}
        then cast(usage.active_users_28d as {{ type_double() }}) / nullif(usage.seats, 0)
    end as active_users_share,
    case
      when usage.is_old_enough and usage.has_features
        then cast(usage.features_used as {{ type_double() }})
    end as features_used_28,
    case
      when usage.age_days >= 2 * usage.window_days
        then
          cast(usage.active_days as {{ type_double() }}) / nullif(usage.active_days_before, 0)
    end as trend_28,
    case
      when usage.age_days >= usage.window_days and feed.milestones_unknown_because is null
        then cast(usage.outcomes as {{ type_double() }})
    end as outcomes_28,
    case
      when feed.milestones_unknown_because is null
        then coalesce(so_far.outcomes_total, cast(0 as {{ type_double() }}))
    end as outcomes_total,
    case
      when usage.is_old_enough and support.is_known
        then
          cast(coalesce(requests.requests, 0) as {{ type_double() }}) / nullif(usage.seats, 0)
    end as support_load
  from aged as usage
  cross join support
  left join {{ ref('int_outcomes_total') }} as so_far on usage.account_id = so_far.account_id
  left join requests on usage.account_id = requests.account_id
  left join {{ ref('int_account_feeds_judged') }} as feed on usage.account_id = feed.account_id
)

select * from final
