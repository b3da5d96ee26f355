-- One row per account with an overall survey answer that is not stale: its score, and why.
with

satisfaction as (
  select * from {{ ref('int_satisfaction_measured') }}
),

run_context as (
  select * from {{ ref('stg_run_context') }}
),

overall as (
  select
    account_id,
    satisfaction as satisfaction_health
  from satisfaction
  where feature is null
),

-- The score itself comes first; a low one is then explained by the features that please least.
ranked as (
  select
    satisfaction.account_id,
    coalesce(satisfaction.feature, 'overall') || ' ' || {{ number('satisfaction.satisfaction') }}
    || ' from ' || {{ counted('satisfaction.answers', 'answer') }} as reason,
    row_number() over (
      partition by satisfaction.account_id
      order by
        case when satisfaction.feature is null then 0 else 1 end,
        case
          when overall.satisfaction_health < run_context.green_from
            then satisfaction.satisfaction
          else -satisfaction.satisfaction
        end,
        satisfaction.feature
    ) as place
  from satisfaction
  cross join run_context
  inner join overall on satisfaction.account_id = overall.account_id
),

reasons as (
  select
    account_id,
    {{ dbt.listagg('reason', "'; '", 'order by place') }} as satisfaction_reasons
  from ranked
  where place <= 3
  group by account_id
),

final as (
  select
    overall.account_id,
    overall.satisfaction_health,
    reasons.satisfaction_reasons
  from overall
  inner join reasons on overall.account_id = reasons.account_id
)

select * from final
