-- One row per account with a measure of usage: the score of its day, and what weighs most in it.
with

points as (
  select * from {{ ref('int_usage_points') }}
),

summed as (
  select
    account_id,
    avg(points) as mean_points,
    sum(points) as sum_points
  from points
  group by account_id
),

scored as (
  select
    summed.account_id,
    {{ score_of('summed.mean_points', 'summed.sum_points') }} as usage_score_raw,
    case
      when scoring.score_version is not null
        then 1 / (1 + exp(greatest(-500, least(
          500, summed.sum_points * ln(2) / {{ points_to_double_odds() }} - scoring.base_ln_odds
        ))))
    end as p_churn
  from summed
  cross join {{ ref('int_scoring') }} as scoring
),

-- A low score is explained by what is missing, a high one by what is there.
ranked as (
  select
    points.account_id,
    points.reason,
    row_number() over (
      partition by points.account_id
      order by
        case
          when scored.usage_score_raw < scoring.green_from then points.points
          else -points.points
        end,
        points.place
    ) as place
  from points
  cross join {{ ref('int_scoring') }} as scoring
  inner join scored on points.account_id = scored.account_id
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
    scored.usage_score_raw,
    scored.p_churn,
    reasons.usage_reasons
  from scored
  inner join reasons on scored.account_id = reasons.account_id
)

select * from final
