-- One row per account as of the run: what it needs next.
with

accounts as (
  select * from {{ ref('int_accounts_located') }}
),

health as (
  select * from {{ ref('int_account_health') }}
),

dormancy as (
  select * from {{ ref('int_dormancy_judged') }}
),

ladder as (
  select * from {{ ref('int_ladder_climbed') }}
),

onboarding as (
  select * from {{ ref('int_onboarding_judged') }}
),

usage as (
  select * from {{ ref('int_account_usage') }}
),

final as (
  select
    accounts.account_id,
    case
      -- Its use is not known: the feed is late, or no source delivers it.
      when
        health.usage_band is null and dormancy.is_dormant is null
        and onboarding.onboarding_status is null
        then null
      when accounts.is_churned or feed.feed_status = 'late' then null
      when health.usage_band = 'red' or dormancy.is_dormant then 'advice'
      when feed.milestones_unknown_because is not null then null
      -- An outcome that came late still came: such an account is not helped by onboarding.
      when
        onboarding.onboarding_status in ('at_risk', 'missed')
        and onboarding.first_outcome_at is null
        then 'advice'
      when onboarding.is_newly_achieved then 'upsell'
      when
        ladder.ladder_step >= 3
        and health.usage_band = 'green'
        and health.satisfaction_health >= run_context.upsell_satisfaction
        and usage.active_users_28d >= run_context.upsell_seats_share * nullif(accounts.seats, 0)
        then 'upsell'
      else 'success'
    end as course
  from accounts
  cross join {{ ref('stg_run_context') }} as run_context
  inner join {{ ref('int_account_feeds_judged') }} as feed on accounts.account_id = feed.account_id
  inner join health on accounts.account_id = health.account_id
  inner join dormancy on accounts.account_id = dormancy.account_id
  inner join ladder on accounts.account_id = ladder.account_id
  inner join onboarding on accounts.account_id = onboarding.account_id
  left join usage on accounts.account_id = usage.account_id
)

select * from final
