-- One row per account whose usage score or band moved since the day before: what moved it.

with

health as (
  select * from {{ ref('int_account_health') }}
  where change_cause is not null
),

before as (
  select * from {{ ref('int_health_before') }}
),

scoring as (
  select * from {{ ref('int_scoring') }}
),

points as (
  select * from {{ ref('int_usage_points') }}
),

points_before as (
  select * from {{ ref('int_points_before') }}
),

-- Under equal weights a measure that is not known counts as the others' mean.
moved as (
  select
    points_before.account_id,
    points_before.place,
    points_before.label,
    points.value,
    points_before.value as value_before,
    (
      coalesce(points.points, before.usage_score_raw)
      - coalesce(points_before.points, before.usage_score_raw)
    ) * sign(health.usage_score_raw - before.usage_score_raw) as step
  from points_before
  inner join health on points_before.account_id = health.account_id
  inner join before on points_before.account_id = before.account_id
  left join points
    on points_before.account_id = points.account_id and points_before.measure = points.measure
),

ranked as (
  select
    account_id,
    label || ' went from ' || coalesce({{ number('value_before') }}, 'unknown')
    || ' to ' || coalesce({{ number('value') }}, 'unknown') as move,
    row_number() over (partition by account_id order by step desc, place asc) as step_rank
  from moved
  where step > 0
),

final as (
  select
    health.account_id,
    'usage health went from ' || {{ number(rounded('before.usage_health', 1)) }}
    || ' (' || before.usage_band || ') to ' || {{ number(rounded('health.usage_health', 1)) }}
    || ' (' || health.usage_band || ') since ' || {{ as_text('before.day') }} || ': '
    || case
      when health.change_cause = 'definition'
        then
          'the rules of the score changed'
          || coalesce('; by them or by its use, ' || ranked.move, '')
      when health.change_cause = 'weights'
        then
          coalesce('score version ' || scoring.parameters_version, 'no score version')
          || ' has its own weights and limits'
      else coalesce(ranked.move, 'it follows what moved in the days before')
    end as usage_change
  from health
  cross join scoring
  inner join before on health.account_id = before.account_id
  left join ranked on health.account_id = ranked.account_id and ranked.step_rank = 1
)

select * from final
