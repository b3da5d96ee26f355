-- One row per account that came back: since when it is a customer again.
-- It came back with a go-live, or with the end of a churn, long after it was last active.
with

run_context as (
  select * from {{ ref('stg_run_context') }}
),

accounts as (
  select * from {{ ref('int_accounts_located') }}
),

activity as (
  select * from {{ ref('int_account_days_counted') }}
),

versions as (
  select
    history.account_id,
    history.dbt_valid_from as known_from,
    coalesce(history.churned_at <= history.dbt_valid_from, false)
    or coalesce(history.is_churned, false) as is_churned,
    coalesce(
      history.churned_at <= coalesce(history.dbt_valid_to, run_context.as_of), false
    ) or coalesce(history.is_churned, false) as ends_churned
  from {{ ref('accounts_snapshot') }} as history
  cross join run_context
  where
    history.dbt_valid_from <= run_context.as_of
    and (history.dbt_valid_to is null or history.dbt_valid_to > history.dbt_valid_from)
),

followed as (
  select
    *,
    lag(ends_churned) over (partition by account_id order by known_from) as was_churned
  from versions
),

churns as (
  select
    account_id,
    max(known_from) as ended_at
  from followed
  where was_churned and not is_churned
  group by account_id
),

ended as (
  select
    churns.account_id,
    {{ local_day('churns.ended_at', 'zone') }} as began_on
  from churns
  inner join accounts on churns.account_id = accounts.account_id
  {{ join_offset('zone', 'accounts.time_zone', 'churns.ended_at') }}
  where not accounts.is_churned
),

beginnings as (
  select
    account_id,
    went_live_on as began_on
  from accounts
  where went_live_on is not null
  union all
  select
    account_id,
    began_on
  from ended
),

before as (
  select
    beginnings.account_id,
    beginnings.began_on,
    max(activity.activity_date) as last_active_on
  from beginnings
  inner join activity
    on
      beginnings.account_id = activity.account_id
      and beginnings.began_on > activity.activity_date
  group by beginnings.account_id, beginnings.began_on
),

-- Who tried the product shortly before the go-live did not come back.
long_away as (
  select
    before.account_id,
    max(before.began_on) as came_back_on
  from before
  cross join run_context
  where
    {{ dbt.datediff('before.last_active_on', 'before.began_on', 'day') }}
    > run_context.dormancy_max_days
  group by before.account_id
),

final as (
  select
    accounts.account_id,
    long_away.came_back_on,
    ended.began_on as churn_ended_on
  from accounts
  left join long_away on accounts.account_id = long_away.account_id
  left join ended on accounts.account_id = ended.account_id
  where long_away.account_id is not null or ended.account_id is not null
)

select * from final
