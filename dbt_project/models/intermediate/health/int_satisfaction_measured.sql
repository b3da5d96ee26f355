-- One row per account and what its survey answers were about, of those that are not stale.
with

survey_responses as (
  select * from {{ ref('stg_survey_responses') }}
),

run_context as (
  select * from {{ ref('stg_run_context') }}
),

final as (
  select
    survey_responses.account_id,
    survey_responses.feature,
    count(*) as answers,
    max(survey_responses.responded_at) as newest_answer_at,
    {{ rounded('10 * avg(survey_responses.score)', 1) }} as satisfaction
  from survey_responses
  cross join run_context
  where
    survey_responses.responded_at
    > {{ dbt.dateadd('day', '-run_context.survey_stale_days', 'run_context.as_of') }}
  group by survey_responses.account_id, survey_responses.feature
)

select * from final
