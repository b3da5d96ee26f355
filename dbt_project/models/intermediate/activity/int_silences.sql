-- One row per silence of an account: ended by an active day, or still open.
{{ config(materialized='view') }}

with

run_context as (
  select * from {{ ref('stg_run_context') }}
),

followed as (
  select
    account_id,
    activity_date as active_on,
    last_active_at as silent_since,
    lead(activity_date) over (partition by account_id order by activity_date) as ended_on
  from {{ ref('int_life_days') }}
),

final as (
  select
    followed.account_id,
    followed.active_on,
    followed.silent_since,
    followed.ended_on,
    followed.ended_on is not null as has_ended,
    cast({{ dbt.datediff('followed.active_on', 'followed.ended_on', 'day') }} as smallint) as days,
    followed.active_on >= cast({{ dbt.dateadd('day', '-' ~ rhythm_days(), 'run_context.as_of') }} as date)
      as is_of_last_year
  from followed
  cross join run_context
)

select * from final
