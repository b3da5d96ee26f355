-- One row or none: the newest version of the scores' parameters in force. A fit reads what a day's
-- run left, so it is in force from the next day on: a rerun of that day finds what the day had. A
-- version that would move too many accounts is held until a person accepts it. Points that were
-- learned once stay, where a later version had too little to learn them from.
with

accepted as (
  select
    version,
    max(accepted_at) as accepted_at
  from {{ source('parameters', 'accepted_versions') }}
  group by version
),

offered as (
  select
    score_versions.version,
    score_versions.fitted_at,
    score_versions.has_return,
    score_versions.has_evidence,
    coalesce(accepted.accepted_at, score_versions.fitted_at) as in_force_from
  from {{ source('parameters', 'score_versions') }} as score_versions
  left join {{ source('parameters', 'held_versions') }} as held
    on score_versions.version = held.version
  left join accepted on score_versions.version = accepted.version
  where held.version is null or accepted.version is not null
),

versions as (
  select
    offered.*,
    {{ local_day('offered.in_force_from', 'offer_offset') }} as offered_on,
    {{ local_day('run_context.as_of', 'run_offset') }} as run_on
  from offered
  cross join {{ ref('stg_run_context') }} as run_context
  {{ join_offset('offer_offset', 'run_context.company_time_zone', 'offered.in_force_from') }}
  {{ join_offset('run_offset', 'run_context.company_time_zone', 'run_context.as_of') }}
),

in_force as (
  select
    *,
    row_number() over (order by in_force_from desc, version desc) as newest,
    row_number() over (
      partition by has_evidence order by in_force_from desc, version desc
    ) as newest_of_its_kind
  from versions
  where offered_on < run_on
),

final as (
  select
    newest.version,
    newest.fitted_at,
    newest.has_return,
    learned.version as evidence_version
  from in_force as newest
  left join in_force as learned on learned.has_evidence and learned.newest_of_its_kind = 1
  where newest.newest = 1
)

select * from final
