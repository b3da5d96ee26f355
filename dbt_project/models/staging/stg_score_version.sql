-- One row, or none: the newest score version that was fitted by the as-of.
select *
from {{ source('raw', 'score_versions') }}
where fitted_at <= (select as_of from {{ ref('stg_run_context') }})
qualify row_number() over (order by fitted_at desc, version desc) = 1
