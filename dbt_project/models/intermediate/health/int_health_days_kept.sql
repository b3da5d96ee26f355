-- One row per account and company-local day: the published days before, and the day of this run.
{{ config(materialized='view') }}

with

history as (
  select * from {{ source('history', 'account_health_daily') }}
),

final as (
  select
    history.account_id,
    history.day,
    history.as_of,
    history.feed_status,
    history.parameters_version,
    history.score_version,
    history.definition,
    history.recency_share,
    history.active_days_28,
    history.active_users_share,
    history.features_used_28,
    history.trend_28,
    history.outcomes_28,
    history.outcomes_total,
    history.support_load,
    history.is_dormant,
    history.days_silent,
    history.dormancy_limit_days,
    history.p_return_28d,
    history.ladder_step,
    history.onboarding_status,
    history.stage,
    history.course,
    history.usage_score_raw,
    history.usage_health,
    history.usage_band,
    history.usage_reasons,
    history.satisfaction_health,
    history.satisfaction_band,
    history.satisfaction_reasons,
    history.p_churn,
    history.change_cause
  from history
  cross join {{ ref('int_scoring') }} as scoring
  where history.day <> scoring.day
  union all
  select
    account_id,
    day,
    as_of,
    feed_status,
    parameters_version,
    score_version,
    definition,
    recency_share,
    active_days_28,
    active_users_share,
    features_used_28,
    trend_28,
    outcomes_28,
    outcomes_total,
    support_load,
    is_dormant,
    days_silent,
    dormancy_limit_days,
    p_return_28d,
    ladder_step,
    onboarding_status,
    stage,
    course,
    usage_score_raw,
    usage_health,
    usage_band,
    usage_reasons,
    satisfaction_health,
    satisfaction_band,
    satisfaction_reasons,
    p_churn,
    change_cause
  from {{ ref('int_accounts_scored') }}
)

select * from final
