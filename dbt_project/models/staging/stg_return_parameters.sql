-- One row per segment that the version in use was fitted on; '' is all accounts together.
select
  parameters.segment,
  parameters.r,
  parameters.alpha,
  parameters.a,
  parameters.b
from {{ source('parameters', 'return_parameters') }} as parameters
inner join {{ ref('stg_score_version') }} as score_version
  on parameters.version = score_version.version
where score_version.has_return
