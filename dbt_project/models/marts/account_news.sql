-- One row per account and kind of news for its owner that is so as of the run.
{% set news = {
  'dormant': 'is_dormant',
  'onboarding_missed': "onboarding_status = 'missed' and first_outcome_at is null",
  'onboarding_at_risk': "onboarding_status = 'at_risk'",
  'usage_red': "usage_band = 'red' and usage_band_before in ('green', 'yellow')",
  'satisfaction_red': "satisfaction_band = 'red' and satisfaction_band_before in ('green', 'yellow')",
  'usage_yellow': "usage_band = 'yellow' and usage_band_before = 'green'",
  'satisfaction_yellow': "satisfaction_band = 'yellow' and satisfaction_band_before = 'green'",
  'renewal': "stage = 'renewal'",
  'upsell': "course = 'upsell'",
} %}

with

accounts as (
  select * from {{ ref('account_360') }}
),

-- The best band of the last 28 days: a fall is news until it is as old as that.
before as (
  select
    health.account_id,
    {{ best_band('health.usage_band') }} as usage_band_before,
    {{ best_band('health.satisfaction_band') }} as satisfaction_band_before
  from {{ ref('fct_account_health_daily') }} as health
  cross join {{ ref('stg_run_context') }} as run_context
  where
    health.as_of < run_context.as_of
    and health.as_of >= {{ dbt.dateadd('day', -28, 'run_context.as_of') }}
  group by health.account_id
),

known as (
  select
    accounts.*,
    before.usage_band_before,
    before.satisfaction_band_before
  from accounts
  left join before on accounts.account_id = before.account_id
  where not accounts.is_churned
),

final as (
  {%- for kind, is_so in news.items() %}
  select
    account_id,
    '{{ kind }}' as kind,
    {{ loop.index }} as urgency,
    usage_band_before,
    satisfaction_band_before
  from known
  where {{ is_so }}
  {%- if not loop.last %}
  union all
  {%- endif %}
  {%- endfor %}
)

select * from final
