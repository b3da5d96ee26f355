-- One row per account that was ever active: the chance that it is active again within 28 days.
{{ config(materialized='view') }}

with

activity as (
  select
    account_id,
    segment,
    active_days,
    active_days - 1 as repeat_active_days,
    days_since_first_active - days_silent as active_span_days,
    days_since_first_active as age_days,
    days_silent
  from {{ ref('int_account_activity') }}
),

parameters as (
  select * from {{ ref('stg_return_parameters') }}
),

-- Of few silences, or after a year, it says nothing.
life_table as (
  select * from {{ ref('int_return_chances') }}
  where lasted >= {{ life_table_silences() }} and days <= {{ rhythm_days() }}
),

longest as (
  select max(days) as days from life_table
  where segment = ''
),

-- What a segment is too small to say is taken from all accounts together: the segment ''.
fitted as (
  select
    activity.*,
    coalesce(own.r, everyone.r) as r,
    coalesce(own.alpha, everyone.alpha) as alpha,
    coalesce(own.a, everyone.a) as a,
    coalesce(own.b, everyone.b) as b
  from activity
  left join parameters as own on activity.segment = own.segment
  left join parameters as everyone on everyone.segment = ''
),

judged as (
  select
    fitted.account_id,
    fitted.active_days,
    fitted.age_days,
    fitted.days_silent,
    case
      when fitted.r is null then coalesce(own.p_return_28d, everyone.p_return_28d)
      else {{ p_return(
        'fitted.repeat_active_days', 'fitted.active_span_days', 'fitted.age_days', recent_days(),
        'fitted.r', 'fitted.alpha', 'fitted.a', 'fitted.b'
      ) }}
    end as p_return_28d
  from fitted
  cross join longest
  left join life_table as own
    on
      fitted.r is null
      and fitted.segment = own.segment
      and fitted.days_silent = own.days
  left join life_table as everyone
    on
      fitted.r is null
      and everyone.segment = ''
      and least(fitted.days_silent, longest.days) = everyone.days
),

-- What past silences taught corrects what the account's life says.
corrected as (
  select
    judged.account_id,
    judged.p_return_28d,
    weights.constant_weight
    + weights.ln_odds_weight * ln(
      greatest(1e-6, least(1 - 1e-6, judged.p_return_28d))
      / (1 - greatest(1e-6, least(1 - 1e-6, judged.p_return_28d)))
    )
    + weights.silence_counted_weight * ln(1 + features.silence_counted)
    + weights.days_silent_weight * ln(1 + judged.days_silent)
    + weights.active_days_28_weight * ln(1 + features.active_days_of_28)
    + weights.active_days_weight * ln(judged.active_days)
    + weights.age_weight * ln(1 + judged.age_days) as ln_odds
  from judged
  left join {{ ref('int_return_features') }} as features on judged.account_id = features.account_id
  left join {{ ref('stg_return_weights') }} as weights on judged.p_return_28d is not null
),

final as (
  select
    account_id,
    -- An engine's least and greatest may pass over a null.
    case
      when ln_odds is null then p_return_28d
      else 1 / (1 + exp(-greatest(-500, least(500, ln_odds))))
    end as p_return_28d
  from corrected
)

select * from final
