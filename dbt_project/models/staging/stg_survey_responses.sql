-- One row per survey answer up to the as-of.
select
  survey_responses.response_id,
  survey_responses.account_id,
  survey_responses.contact_id,
  survey_responses.responded_at,
  survey_responses.score,
  survey_responses.feature
from {{ source('raw', 'survey_responses') }} as survey_responses
cross join {{ ref('stg_run_context') }} as run_context
where survey_responses.responded_at <= run_context.as_of
