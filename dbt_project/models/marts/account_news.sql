-- One row per account and kind of news for its owner that is so as of the run.
{% set news = {
  'dormant': 'is_dormant and not coalesce(is_dormant_by_version, false)',
  'onboarding_missed': "onboarding_status = 'missed' and first_outcome_at is null",
  'onboarding_at_risk': "onboarding_status = 'at_risk'",
  'usage_red': "usage_band = 'red' and usage_band_before in ('green', 'yellow')",
  'satisfaction_red': "satisfaction_band = 'red' and satisfaction_band_before in ('green', 'yellow')",
  'usage_yellow': "usage_band = 'yellow' and usage_band_before = 'green'",
  'satisfaction_yellow': "satisfaction_band = 'yellow' and satisfaction_band_before = 'green'",
  'renewal': "stage = 'renewal'",
  'upsell': "course = 'upsell' and not coalesce(is_upsell_by_version, false)",
} %}
{# It left by the CRM, and its people went on using the product this week. #}
{% set churned_but_active -%}
last_active_at > coalesce({{ dbt.dateadd('day', 1, 'churned_at') }}, {{ dbt.dateadd('day', -2, 'as_of') }})
  and last_active_at > {{ dbt.dateadd('day', '-' ~ week_days(), 'as_of') }}
{%- endset %}
{# What began long ago is no news in a company's first list: days that it has been so, from 0. #}
{% set days_old = {
  'dormant': 'coalesce(days_silent, days_watched + 1) - dormancy_limit_days - 1',
  'onboarding_missed': 'days_watched - ' ~ dbt.datediff('watched_from', 'onboarding_due_on', 'day')
    ~ ' - 1',
} %}

with

accounts as (
  select * from {{ ref('account_360') }}
),

health as (
  select
    history.account_id,
    history.as_of,
    history.usage_band,
    history.satisfaction_band
  from {{ ref('fct_account_health_daily') }} as history
  cross join {{ ref('stg_run_context') }} as run_context
  where
    history.as_of < run_context.as_of
    and history.as_of >= {{ dbt.dateadd('day', '-' ~ recent_days(), 'run_context.as_of') }}
),

-- Bands before a step of the version meant another thing: falling from them is no news.
steps as (
  select * from {{ ref('int_version_steps') }}
),
{% for band in ('usage_band', 'satisfaction_band') %}
-- What it was before it became what it is: a fall is news for four weeks, a recovery is none.
{{ band }}_before as (
  select
    health.account_id,
    health.{{ band }} as band,
    row_number() over (partition by health.account_id order by health.as_of desc) as recency
  from health
  inner join accounts on health.account_id = accounts.account_id
  {%- if band == 'usage_band' %}
  left join steps on health.account_id = steps.account_id
  {%- endif %}
  where
    health.{{ band }} <> accounts.{{ band }}
    {%- if band == 'usage_band' %}
    and (steps.rescaled_at is null or health.as_of >= steps.rescaled_at)
    {%- endif %}
),
{% endfor %}
known as (
  select
    accounts.*,
    watched.watched_from,
    watched.days_watched,
    steps.is_dormant_by_version,
    steps.is_upsell_by_version,
    usage_band_before.band as usage_band_before,
    satisfaction_band_before.band as satisfaction_band_before
  from accounts
  left join {{ ref('int_watched_days') }} as watched on accounts.account_id = watched.account_id
  left join steps on accounts.account_id = steps.account_id
  left join usage_band_before
    on accounts.account_id = usage_band_before.account_id and usage_band_before.recency = 1
  left join satisfaction_band_before
    on
      accounts.account_id = satisfaction_band_before.account_id
      and satisfaction_band_before.recency = 1
),

final as (
  {%- for kind, is_so in news.items() %}
  select
    account_id,
    '{{ kind }}' as kind,
    {{ loop.index }} as urgency,
    cast({{ days_old.get(kind, 'null') }} as bigint) as days_old,
    usage_band_before,
    satisfaction_band_before
  from known
  where not is_churned and {{ is_so }}
  union all
  {%- endfor %}
  select
    account_id,
    'churned_but_active' as kind,
    {{ news | length + 1 }} as urgency,
    cast(null as bigint) as days_old,
    usage_band_before,
    satisfaction_band_before
  from known
  where is_churned and {{ churned_but_active }}
)

select * from final
