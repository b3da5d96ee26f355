-- One row per account that is live or was ever active, while the feed is fresh: its recent usage.
with

accounts as (
  select * from {{ ref('dim_accounts') }}
),

feed_health as (
  select * from {{ ref('feed_health') }}
),

dormancy as (
  select * from {{ ref('account_dormancy') }}
),

activity as (
  select * from {{ ref('int_account_activity') }}
),

recent as (
  select * from {{ ref('int_recent_usage') }}
),

final as (
  select
    accounts.account_id,
    accounts.seats,
    dormancy.days_silent,
    dormancy.dormancy_limit_days,
    accounts.days_since_go_live,
    coalesce(greatest(accounts.days_since_go_live, activity.days_since_first_active), 0) + 1
      as age_days,
    coalesce(activity.active_days_28d, 0) as active_days,
    coalesce(activity.active_days_before, 0) as active_days_before,
    coalesce(activity.outcomes_28d, 0) as outcomes,
    coalesce(recent.active_users, 0) as active_users,
    coalesce(recent.features_used, 0) as features_used,
    max(coalesce(recent.features_used, 0)) over () > 0 as has_features
  from accounts
  cross join feed_health
  inner join dormancy on accounts.account_id = dormancy.account_id
  left join activity on accounts.account_id = activity.account_id
  left join recent on accounts.account_id = recent.account_id
  where
    feed_health.feed_status = 'fresh'
    and (accounts.is_live or activity.account_id is not null)
)

select * from final
