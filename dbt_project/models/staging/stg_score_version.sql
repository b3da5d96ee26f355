-- One row or none: the newest version of the scores' parameters that was fitted by the as-of.
with

versions as (
  select
    score_versions.*,
    row_number() over (
      order by score_versions.fitted_at desc, score_versions.version desc
    ) as newest
  from {{ source('raw', 'score_versions') }} as score_versions
  inner join {{ ref('stg_run_context') }} as run_context
    on score_versions.fitted_at <= run_context.as_of
)

select
  version,
  fitted_at,
  has_return,
  has_evidence
from versions
where newest = 1
