-- One row or none: what the version in use learned of the chance of return from past silences.
with

weights as (
  select
    weights.term,
    weights.weight
  from {{ source('parameters', 'return_weights') }} as weights
  inner join {{ ref('stg_score_version') }} as score_version
    on weights.version = score_version.version
),

final as (
  select
    sum(case when term = 'constant' then weight end) as constant_weight,
    sum(case when term = 'ln_odds' then weight end) as ln_odds_weight,
    sum(case when term = 'silence_counted' then weight end) as silence_counted_weight,
    sum(case when term = 'days_silent' then weight end) as days_silent_weight,
    sum(case when term = 'active_days_28' then weight end) as active_days_28_weight,
    sum(case when term = 'active_days' then weight end) as active_days_weight,
    sum(case when term = 'age' then weight end) as age_weight
  from weights
  having count(*) > 0
)

select * from final
