-- One row per account as of the run: how far it is to its first outcome.
with

accounts as (
  select * from {{ ref('dim_accounts') }}
),

activity as (
  select * from {{ ref('int_account_activity') }}
),

feed_health as (
  select * from {{ ref('feed_health') }}
),

watched as (
  select * from {{ ref('int_watched_days') }}
),

dated as (
  select
    accounts.account_id,
    accounts.is_live,
    accounts.went_live_on,
    accounts.as_of_day,
    watched.days_watched,
    run_context.onboarding_at_risk_day,
    cast(
      {{ dbt.dateadd('month', 'run_context.onboarding_months', 'watched.watched_from') }} as date
    ) as onboarding_due_on,
    activity.first_active_at,
    activity.first_outcome_at,
    activity.first_outcome_on,
    watched.watched_from = accounts.went_live_on as is_watched_since_go_live
  from accounts
  cross join {{ ref('stg_run_context') }} as run_context
  inner join watched on accounts.account_id = watched.account_id
  left join activity on accounts.account_id = activity.account_id
),

judged as (
  select
    *,
    case
      when not is_live then 'not_started'
      when first_outcome_on <= onboarding_due_on then 'achieved'
      -- It went live before the feed begins: its first outcome may well have been in time.
      when first_outcome_on is not null and not is_watched_since_go_live then 'achieved'
      when as_of_day > onboarding_due_on then 'missed'
      when days_watched >= onboarding_at_risk_day then 'at_risk'
      else 'on_track'
    end as onboarding_status
  from dated
),

final as (
  select
    judged.account_id,
    judged.went_live_on,
    judged.onboarding_due_on,
    {{ when_fresh('judged.onboarding_status') }} as onboarding_status,
    {{ when_fresh('judged.first_active_at') }} as first_active_at,
    {{ when_fresh('judged.first_outcome_at') }} as first_outcome_at,
    {{ when_fresh('judged.first_outcome_on = judged.as_of_day') }} as is_first_outcome_today
  from judged
  cross join feed_health
)

select * from final
