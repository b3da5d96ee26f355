-- One row per day with activity: how much a day of silence until then counted, added up. A day counts
-- as many times as the company was active on it, against its own last eight weeks: over a holiday,
-- when all are silent, hardly anybody's silence grows. None where nothing was learned from silences.
with

days as (
  select
    activity.activity_date as activity_on,
    count(*) as active_accounts
  from {{ ref('int_life_days') }} as activity
  cross join {{ ref('stg_return_weights') }}
  group by activity.activity_date
),

beginning as (
  select min(activity_on) as began_on from days
),

usual as (
  select
    days.activity_on,
    days.active_accounts,
    sum(earlier.active_accounts) * 1.0 / least(
      56, {{ dbt.datediff('max(beginning.began_on)', 'days.activity_on', 'day') }} + 1
    ) as usual_accounts
  from days
  cross join beginning
  inner join days as earlier
    on
      days.activity_on >= earlier.activity_on
      and earlier.activity_on > {{ dbt.dateadd('day', -56, 'days.activity_on') }}
  group by days.activity_on, days.active_accounts
),

final as (
  select
    activity_on,
    cast(
      sum(least(2, active_accounts / usual_accounts)) over (order by activity_on)
      as {{ type_double() }}
    ) as counted_days
  from usual
)

select * from final
