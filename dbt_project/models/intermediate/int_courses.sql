-- One row per account as of the run: what it needs next.
with

accounts as (
  select * from {{ ref('dim_accounts') }}
),

health as (
  select * from {{ ref('fct_account_health_daily') }}
),

onboarding as (
  select * from {{ ref('account_onboarding') }}
),

usage as (
  select * from {{ ref('int_account_usage') }}
),

final as (
  select
    accounts.account_id,
    case
      when accounts.is_churned or health.feed_status = 'late' then null
      when health.usage_band = 'red' or health.is_dormant then 'advice'
      -- An outcome that came late still came: such an account is not helped by onboarding.
      when
        onboarding.onboarding_status in ('at_risk', 'missed')
        and onboarding.first_outcome_at is null
        then 'advice'
      when onboarding.onboarding_status = 'achieved' and onboarding.is_first_outcome_today
        then 'upsell'
      when
        health.ladder_step >= 3
        and health.usage_band = 'green'
        and health.satisfaction_health >= run_context.upsell_satisfaction
        and usage.active_users_28d >= run_context.upsell_seats_share * nullif(accounts.seats, 0)
        then 'upsell'
      else 'success'
    end as course
  from accounts
  cross join {{ ref('stg_run_context') }} as run_context
  inner join health on accounts.account_id = health.account_id and accounts.as_of = health.as_of
  inner join onboarding on accounts.account_id = onboarding.account_id
  left join usage on accounts.account_id = usage.account_id
)

select * from final
