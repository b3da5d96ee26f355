-- One row or none: the newest version of the scores' parameters in force. A fit reads what a day's
-- run left, so it is in force from the next day on: a rerun of that day finds what the day had.
-- Points that were learned once stay, where a later version had too little to learn them from.
with

versions as (
  select
    score_versions.*,
    {{ local_day('score_versions.fitted_at', 'fit_offset') }} as fitted_on,
    {{ local_day('run_context.as_of', 'run_offset') }} as run_on
  from {{ source('parameters', 'score_versions') }} as score_versions
  cross join {{ ref('stg_run_context') }} as run_context
  {{ join_offset('fit_offset', 'run_context.company_time_zone', 'score_versions.fitted_at') }}
  {{ join_offset('run_offset', 'run_context.company_time_zone', 'run_context.as_of') }}
),

in_force as (
  select
    *,
    row_number() over (order by fitted_at desc, version desc) as newest,
    max(case when has_evidence then version end) over () as evidence_version
  from versions
  where fitted_on < run_on
)

select
  version,
  fitted_at,
  has_return,
  evidence_version
from in_force
where newest = 1
