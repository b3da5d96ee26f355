-- One row per account as of the run: all that a trigger may ask about.
with

accounts as (
  select * from {{ ref('dim_accounts') }}
),

health as (
  select * from {{ ref('int_accounts_scored') }}
),

usage as (
  select * from {{ ref('int_account_usage') }}
),

dormancy as (
  select * from {{ ref('account_dormancy') }}
),

onboarding as (
  select * from {{ ref('account_onboarding') }}
),

changes as (
  select * from {{ ref('int_usage_changes') }}
),

answers as (
  select * from {{ ref('int_last_answers') }}
),

final as (
  select
    accounts.account_id,
    accounts.name,
    accounts.segment,
    accounts.plan,
    accounts.mrr,
    accounts.seats,
    accounts.touch_model,
    accounts.country,
    accounts.country_code,
    accounts.time_zone,
    accounts.time_zone_source,
    accounts.locale,
    accounts.owner_name,
    accounts.owner_email,
    accounts.purpose,
    accounts.background,
    accounts.created_at,
    accounts.went_live_at,
    accounts.renewal_at,
    accounts.churned_at,
    accounts.is_churned,
    accounts.as_of,
    health.feed_status,
    health.stage,
    health.course,
    accounts.days_since_go_live,
    accounts.days_to_renewal,
    onboarding.first_active_at,
    dormancy.last_active_at,
    dormancy.days_silent,
    dormancy.dormancy_limit_days,
    dormancy.p_return_28d,
    dormancy.is_dormant,
    dormancy.dormancy_reason,
    onboarding.onboarding_status,
    onboarding.onboarding_due_on,
    onboarding.first_outcome_at,
    health.ladder_step,
    {{ rounded('health.usage_health', 1) }} as usage_health,
    health.usage_band,
    health.usage_reasons,
    health.satisfaction_health,
    health.satisfaction_band,
    usage.active_users_28d,
    usage.active_users_28d * 1.0 / nullif(accounts.seats, 0) as seats_used_share,
    health.satisfaction_reasons,
    changes.usage_change,
    answers.last_answer,
    answers.last_answer_at
  from accounts
  inner join health on accounts.account_id = health.account_id
  inner join dormancy on accounts.account_id = dormancy.account_id
  inner join onboarding on accounts.account_id = onboarding.account_id
  left join usage on accounts.account_id = usage.account_id
  left join changes on accounts.account_id = changes.account_id
  left join answers on accounts.account_id = answers.account_id
)

select * from final
