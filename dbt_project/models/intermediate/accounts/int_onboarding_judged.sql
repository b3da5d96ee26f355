-- One row per account as of the run: how far it is to its first outcome.
with

accounts as (
  select * from {{ ref('int_accounts_located') }}
),

milestones as (
  select * from {{ ref('int_account_milestones') }}
),

before as (
  select * from {{ ref('int_health_before') }}
),

account_feed as (
  select * from {{ ref('int_account_feeds_judged') }}
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
    run_context.as_of,
    watched.days_watched,
    coalesce(watched.is_unwatched, false) as is_unwatched,
    run_context.onboarding_at_risk_day,
    cast(
      {{ dbt.dateadd('month', 'run_context.onboarding_months', 'watched.watched_from') }} as date
    ) as onboarding_due_on,
    milestones.first_active_at,
    milestones.first_outcome_at,
    milestones.first_outcome_on,
    before.onboarding_status as status_before,
    coalesce(watched.watched_from = accounts.went_live_on, true) as is_watched_since_go_live
  from accounts
  cross join {{ ref('stg_run_context') }} as run_context
  inner join watched on accounts.account_id = watched.account_id
  left join before on accounts.account_id = before.account_id
  left join milestones on accounts.account_id = milestones.account_id
),

judged as (
  select
    *,
    case
      when is_unwatched then null
      when not is_live and first_outcome_on is not null then 'achieved'
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

-- Achieved since the day that was stored before, whenever in between. What no day was stored of
-- counts from yesterday; of an account that was live before the feed, nobody knows the day.
compared as (
  select
    *,
    onboarding_status = 'achieved' and is_watched_since_go_live and case
      when status_before is not null
        then status_before in ('not_started', 'on_track', 'at_risk')
      else first_outcome_at > {{ dbt.dateadd('day', -1, 'as_of') }}
    end as is_newly_achieved
  from judged
),

final as (
  select
    compared.account_id,
    compared.went_live_on,
    compared.onboarding_due_on,
    {{ when_milestones_known('compared.onboarding_status') }} as onboarding_status,
    {{ when_fresh('compared.first_active_at') }} as first_active_at,
    {{ when_milestones_known('compared.first_outcome_at') }} as first_outcome_at,
    {{ when_milestones_known('compared.is_newly_achieved') }} as is_newly_achieved
  from compared
  inner join account_feed on compared.account_id = account_feed.account_id
)

select * from final
