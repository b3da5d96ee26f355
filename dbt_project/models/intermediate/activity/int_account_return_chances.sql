-- One row per account that was ever active: the chance that it is active again within 28 days.
{{ config(materialized='view') }}

with

activity as (
  select
    account_id,
    segment,
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

final as (
  select
    fitted.account_id,
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
)

select * from final
