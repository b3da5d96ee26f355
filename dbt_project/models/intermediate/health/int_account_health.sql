-- One row per account as of the run: its scores, smoothed, and its bands, advanced from the
-- stored ones of the day before.
{% set smoothed_health -%}
usage.usage_score_raw + coalesce(
  (before.usage_health - usage.usage_score_raw) * power(
    1 - run_context.health_smoothing, {{ dbt.datediff('before.day', 'scoring.day', 'day') }}
  ), 0
)
{%- endset %}

with

accounts as (
  select * from {{ ref('int_accounts_located') }}
),

usage as (
  select * from {{ ref('int_usage_health') }}
),

satisfaction as (
  select * from {{ ref('int_satisfaction_health') }}
),

before as (
  select * from {{ ref('int_health_before') }}
),

run_context as (
  select * from {{ ref('stg_run_context') }}
),

scoring as (
  select * from {{ ref('int_scoring') }}
),

summed_before as (
  select
    account_id,
    avg(points) as mean_points,
    sum(points) as sum_points
  from {{ ref('int_points_before') }}
  group by account_id
),

-- What the account would score today if its use were still that of the day before.
unmoved as (
  select
    summed_before.account_id,
    {{ score_of('summed_before.mean_points', 'summed_before.sum_points') }} as usage_score_raw
  from summed_before
  cross join scoring
),

-- A day that no run scored is caught up with today's score: each day keeps the same share of what
-- was stored. The score then goes one way, so that the band may be advanced once for all of them.
smoothed as (
  select
    accounts.account_id,
    usage.usage_score_raw,
    usage.usage_reasons,
    usage.p_churn,
    satisfaction.satisfaction_health,
    satisfaction.satisfaction_reasons,
    scoring.parameters_version,
    scoring.definition,
    {{ rounded(smoothed_health, 6) }} as usage_health
  from accounts
  cross join run_context
  cross join scoring
  left join usage on accounts.account_id = usage.account_id
  left join satisfaction on accounts.account_id = satisfaction.account_id
  left join before on accounts.account_id = before.account_id
),

banded as (
  select
    smoothed.*,
    before.usage_health as health_before,
    before.usage_band as band_before,
    before.change_cause as cause_before,
    {{ held_band('smoothed.usage_health', 'before.usage_band') }} as usage_band,
    {{ held_band('smoothed.satisfaction_health', 'before.satisfaction_band') }}
      as satisfaction_band,
    {{ rounded('smoothed.usage_score_raw', 1) }} <> {{ rounded('before.usage_score_raw', 1) }}
      as has_new_score,
    smoothed.definition <> before.definition as has_new_definition,
    coalesce(smoothed.parameters_version, '') <> coalesce(before.parameters_version, '')
      as has_new_weights,
    abs(unmoved.usage_score_raw - before.usage_score_raw) as moved_by_weights,
    abs(smoothed.usage_score_raw - unmoved.usage_score_raw) as moved_by_data
  from smoothed
  cross join run_context
  left join before on smoothed.account_id = before.account_id
  left join unmoved on smoothed.account_id = unmoved.account_id
),

-- What is still being smoothed in was caused by what caused it. Measures taken by other rules do
-- not compare, so that new rules are the cause whatever else moved.
final as (
  select
    account_id,
    usage_score_raw,
    usage_health,
    usage_band,
    usage_reasons,
    p_churn,
    satisfaction_health,
    satisfaction_band,
    satisfaction_reasons,
    case
      when
        {{ rounded('usage_health', 1) }} = {{ rounded('health_before', 1) }}
        and usage_band = band_before
        then null
      when has_new_definition and (has_new_score or usage_band <> band_before) then 'definition'
      when has_new_weights and has_new_score and moved_by_weights >= moved_by_data then 'weights'
      when has_new_score then 'data'
      when health_before is not null and usage_health is not null
        then coalesce(cause_before, 'data')
    end as change_cause
  from banded
)

select * from final
