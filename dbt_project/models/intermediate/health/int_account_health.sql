-- One row per account as of the run: its scores, smoothed, and its bands, advanced from the
-- stored ones of the day before.
{% set smoothed_health -%}
usage.usage_score_raw + coalesce(
  (rebased.usage_health - usage.usage_score_raw) * power(
    1 - run_context.health_smoothing, {{ dbt.datediff('rebased.day', 'scoring.day', 'day') }}
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

-- The day before as today's rules and version would have scored it, so that a change of scale is
-- a step and no slide. Measures taken by other rules do not compare: then today begins anew. Under
-- the same points with other limits, what is still being smoothed in stays.
rescored as (
  select
    before.account_id,
    before.day,
    before.usage_band,
    coalesce(scoring.score_version, '') <> coalesce(before.score_version, '') as has_other_points,
    coalesce(scoring.parameters_version, '') = coalesce(before.parameters_version, '')
      as has_same_version,
    case
      when scoring.definition <> before.definition then null
      when coalesce(scoring.parameters_version, '') = coalesce(before.parameters_version, '')
        then before.usage_health
      when coalesce(scoring.score_version, '') <> coalesce(before.score_version, '')
        then unmoved.usage_score_raw
      when before.usage_health is not null
        then greatest(0, least(
          100,
          before.usage_health + coalesce(unmoved.usage_score_raw - before.usage_score_raw, 0)
        ))
    end as usage_health
  from before
  cross join scoring
  left join unmoved on before.account_id = unmoved.account_id
),

-- Its band by the bounds of today: points that were not there before know no hysteresis.
rebased as (
  select
    rescored.account_id,
    rescored.day,
    rescored.usage_health,
    case
      when rescored.usage_health is not null and rescored.has_same_version
        then rescored.usage_band
      when rescored.has_other_points
        then {{ held_band('rescored.usage_health', 'cast(null as ' ~ dbt.type_string() ~ ')', 'scoring') }}
      else {{ held_band('rescored.usage_health', 'rescored.usage_band', 'scoring') }}
    end as usage_band
  from rescored
  cross join scoring
  cross join run_context
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
  left join rebased on accounts.account_id = rebased.account_id
),

banded as (
  select
    smoothed.*,
    before.usage_health as health_before,
    before.usage_band as band_before,
    rebased.usage_band as band_then,
    {{ held_band('smoothed.usage_health', 'rebased.usage_band', 'scoring') }} as usage_band,
    {{ held_band('smoothed.satisfaction_health', 'before.satisfaction_band', 'run_context') }}
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
  cross join scoring
  left join before on smoothed.account_id = before.account_id
  left join rebased on smoothed.account_id = rebased.account_id
  left join unmoved on smoothed.account_id = unmoved.account_id
),

-- A version's step is on its first day alone: what goes on moving after it is data.
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
      when health_before is null or usage_health is null then null
      when
        {{ rounded('usage_health', 1) }} = {{ rounded('health_before', 1) }}
        and usage_band = band_before
        then null
      when has_new_definition then 'definition'
      when has_new_weights and usage_band = band_then and usage_band <> band_before then 'weights'
      when
        has_new_weights and has_new_score and usage_band = band_then
        and moved_by_weights >= moved_by_data
        then 'weights'
      else 'data'
    end as change_cause
  from banded
)

select * from final
