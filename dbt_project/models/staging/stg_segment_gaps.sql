-- One row per segment that the version in use knows the usual gap of.
select
  gaps.segment,
  gaps.days
from {{ source('parameters', 'segment_gaps') }} as gaps
inner join {{ ref('stg_score_version') }} as score_version
  on gaps.version = score_version.version
