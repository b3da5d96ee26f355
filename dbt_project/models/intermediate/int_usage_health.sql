-- One row per account with a measure of usage: its score, and what weighs most in it.
with

measures as (
  select * from {{ ref('int_usage_measures') }}
),

scored as (
  select
    account_id,
    avg(points) as usage_health
  from measures
  group by account_id
),

-- A low score is explained by what is missing, a high one by what is there.
ranked as (
  select
    measures.account_id,
    measures.reason,
    row_number() over (
      partition by measures.account_id
      order by
        case when scored.usage_health < 70 then measures.points else -measures.points end,
        measures.place
    ) as place
  from measures
  inner join scored on measures.account_id = scored.account_id
),

reasons as (
  select
    account_id,
    {{ dbt.listagg('reason', "'; '", 'order by place') }} as usage_reasons
  from ranked
  where place <= 3
  group by account_id
),

final as (
  select
    scored.account_id,
    round(scored.usage_health, 1) as usage_health,
    reasons.usage_reasons
  from scored
  inner join reasons on scored.account_id = reasons.account_id
)

select * from final
