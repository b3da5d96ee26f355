-- One row per account that is live or was ever active, while the feed is fresh: how far back to
-- look. The same for all, so that no measure but silence depends on a limit that a fit may move.
{{ config(materialized='view') }}

with

accounts as (
  select * from {{ ref('int_accounts_located') }}
),

dormancy as (
  select * from {{ ref('int_dormancy_judged') }}
),

watched as (
  select * from {{ ref('int_watched_days') }}
),

final as (
  select
    accounts.account_id,
    accounts.as_of,
    accounts.as_of_day,
    accounts.seats,
    watched.days_watched,
    dormancy.days_silent,
    dormancy.dormancy_limit_days,
    {{ recent_days() }} as window_days,
    coalesce({{ greatest_known('watched.days_watched', 'dormancy.age_days') }}, 0) + 1 as age_days
  from accounts
  inner join watched on accounts.account_id = watched.account_id
  inner join dormancy on accounts.account_id = dormancy.account_id
  where
    dormancy.dormancy_limit_days is not null
    and (accounts.is_live or dormancy.last_active_at is not null)
)

select * from final
