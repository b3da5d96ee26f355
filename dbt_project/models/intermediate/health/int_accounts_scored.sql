-- One row per account as of the run: what the history keeps of its day.
with

accounts as (
  select * from {{ ref('int_accounts_located') }}
),

health as (
  select * from {{ ref('int_account_health') }}
),

measures as (
  select * from {{ ref('int_usage_measures') }}
),

dormancy as (
  select * from {{ ref('int_dormancy_judged') }}
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
    measures.outcomes_total,
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
  inner join {{ ref('int_account_feeds_judged') }} as feed on accounts.account_id = feed.account_id
  inner join health on accounts.account_id = health.account_id
  inner join dormancy on accounts.account_id = dormancy.account_id
  inner join {{ ref('int_stages') }} as stages on accounts.account_id = stages.account_id
  inner join {{ ref('int_courses') }} as courses on accounts.account_id = courses.account_id
  inner join {{ ref('int_ladder_climbed') }} as ladder on accounts.account_id = ladder.account_id
  inner join {{ ref('int_onboarding_judged') }} as onboarding
    on accounts.account_id = onboarding.account_id
  left join measures on accounts.account_id = measures.account_id
)

select * from final
