-- One row per account and company-local day of a run: what was known about it then.
-- A rerun of a day replaces that day.
{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='health_date'
) }}

with

accounts as (
  select * from {{ ref('dim_accounts') }}
),

today as (
  select
    run_context.*,
    {{ local_day('run_context.as_of', 'zone') }} as health_date
  from {{ ref('stg_run_context') }} as run_context
  {{ join_offset('zone', 'run_context.company_time_zone', 'run_context.as_of') }}
),

usage as (
  select * from {{ ref('int_usage_health') }}
),

satisfaction as (
  select * from {{ ref('int_satisfaction_health') }}
),

final as (
  select
    accounts.account_id,
    run_context.health_date,
    run_context.as_of,
    feed_health.feed_status,
    stages.stage,
    usage.usage_health,
    {{ band('usage.usage_health') }} as usage_band,
    usage.usage_reasons,
    satisfaction.satisfaction_health,
    {{ band('satisfaction.satisfaction_health') }} as satisfaction_band,
    dormancy.is_dormant,
    dormancy.days_silent,
    dormancy.dormancy_limit_days,
    ladder.ladder_step,
    onboarding.onboarding_status
  from accounts
  cross join today as run_context
  cross join {{ ref('feed_health') }} as feed_health
  inner join {{ ref('int_stages') }} as stages on accounts.account_id = stages.account_id
  inner join {{ ref('account_dormancy') }} as dormancy on accounts.account_id = dormancy.account_id
  inner join {{ ref('account_usage_ladder') }} as ladder on accounts.account_id = ladder.account_id
  inner join {{ ref('account_onboarding') }} as onboarding
    on accounts.account_id = onboarding.account_id
  left join usage on accounts.account_id = usage.account_id
  left join satisfaction on accounts.account_id = satisfaction.account_id
)

select * from final
