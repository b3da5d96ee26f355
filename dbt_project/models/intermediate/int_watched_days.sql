-- One row per account as of the run: since when its use could be seen. What it did before the usage
-- feed began is not known, and no silence.
{{ config(materialized='view') }}

with

accounts as (
  select * from {{ ref('dim_accounts') }}
),

feed as (
  select min(first_active_on) as begins_on from {{ ref('int_account_activity') }}
),

watched as (
  select
    accounts.account_id,
    accounts.as_of_day,
    case
      when accounts.went_live_on < feed.begins_on then feed.begins_on
      else accounts.went_live_on
    end as watched_from
  from accounts
  cross join feed
),

final as (
  select
    account_id,
    watched_from,
    {{ dbt.datediff('watched_from', 'as_of_day', 'day') }} as days_watched
  from watched
)

select * from final
