-- One row per account as of the run: since when its use could be seen, and since when it could be
-- silent. What it did before the usage feed began is not known, and no silence.
{{ config(materialized='view') }}

with

accounts as (
  select * from {{ ref('int_accounts_located') }}
),

feed as (
  select min(first_active_on) as begins_on from {{ ref('int_account_activity') }}
),

lives as (
  select * from {{ ref('int_lives') }}
),

begun as (
  select
    accounts.account_id,
    accounts.as_of_day,
    {{ greatest_known('accounts.went_live_on', 'lives.came_back_on') }} as began_on,
    {{ greatest_known('accounts.went_live_on', 'lives.churn_ended_on') }} as silent_from,
    lives.came_back_on is not null as came_back,
    unwatched.account_id is not null as is_unwatched
  from accounts
  left join lives on accounts.account_id = lives.account_id
  left join {{ ref('int_unwatched_accounts') }} as unwatched
    on accounts.account_id = unwatched.account_id
),

watched as (
  select
    begun.*,
    case
      when begun.began_on < feed.begins_on then feed.begins_on
      else begun.began_on
    end as watched_from
  from begun
  cross join feed
),

final as (
  select
    account_id,
    watched_from,
    silent_from,
    came_back,
    is_unwatched,
    {{ dbt.datediff('watched_from', 'as_of_day', 'day') }} as days_watched
  from watched
)

select * from final
