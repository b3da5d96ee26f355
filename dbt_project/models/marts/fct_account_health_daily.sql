-- One row per account and company-local day of a run: what was known about it then, for ever.
-- A rerun of a day replaces that day and no other.
{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='day',
    on_schema_change='append_new_columns',
    full_refresh=false
) }}

with

accounts as (
  select * from {{ ref('dim_accounts') }}
),

health as (
  select * from {{ ref('int_account_health') }}
),

measures as (
  select * from {{ ref('int_usage_measures') }}
),

dormancy as (
  select * from {{ ref('account_dormancy') }}
),

final as (
  select
    accounts.account_id,
    scoring.day,
    scoring.as_of,
    feed.feed_status,
    scoring.parameters_version,
    scoring.score_version,
    scoring.definition,
    {%- for measure in usage_measures() %}
    measures.{{ measure }},
    {%- endfor %}
    dormancy.is_dormant,
    dormancy.days_silent,
    dormancy.dormancy_limit_days,
    dormancy.p_return_28d,
    ladder.ladder_step,
    onboarding.onboarding_status,
    stages.stage,
    courses.course,
    health.usage_score_raw,
    health.usage_health,
    health.usage_band,
    health.usage_reasons,
    health.satisfaction_health,
    health.satisfaction_band,
    health.satisfaction_reasons,
    health.p_churn,
    health.change_cause
  from accounts
  cross join {{ ref('int_scoring') }} as scoring
  inner join {{ ref('account_feed') }} as feed on accounts.account_id = feed.account_id
  inner join health on accounts.account_id = health.account_id
  inner join dormancy on accounts.account_id = dormancy.account_id
  inner join {{ ref('int_stages') }} as stages on accounts.account_id = stages.account_id
  inner join {{ ref('int_courses') }} as courses on accounts.account_id = courses.account_id
  inner join {{ ref('account_usage_ladder') }} as ladder on accounts.account_id = ladder.account_id
  inner join {{ ref('account_onboarding') }} as onboarding
    on accounts.account_id = onboarding.account_id
  left join measures on accounts.account_id = measures.account_id
)

select * from final
