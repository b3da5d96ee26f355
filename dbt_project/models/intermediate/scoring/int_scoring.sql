-- One row: the day that the run scores, and by which rules.
with

run_context as (
  select * from {{ ref('stg_run_context') }}
),

score_version as (
  select * from {{ ref('stg_score_version') }}
),

band_bounds as (
  select * from {{ ref('stg_band_bounds') }}
),

evidence_base as (
  select * from {{ ref('stg_evidence_base') }}
),

final as (
  select
    run_context.as_of,
    {{ local_day('run_context.as_of', 'zone') }} as day,
    run_context.health_definition as definition,
    score_version.version as parameters_version,
    evidence_base.version as score_version,
    evidence_base.base_points,
    evidence_base.base_ln_odds,
    -- The settings' bounds are for equal weights, and for versions that were fitted without any.
    coalesce(band_bounds.green_from, run_context.green_from) as green_from,
    coalesce(band_bounds.yellow_from, run_context.yellow_from) as yellow_from
  from run_context
  {{ join_offset('zone', 'run_context.company_time_zone', 'run_context.as_of') }}
  left join score_version on score_version.fitted_at <= run_context.as_of
  left join evidence_base on score_version.evidence_version = evidence_base.version
  left join band_bounds on score_version.evidence_version = band_bounds.version
)

select * from final
