-- One row per silence of an account in the last year: ended by an active day, or still open.
{{ config(materialized='view') }}

with

activity as (
  select
    account_id,
    activity_date
  from {{ ref('fct_account_activity_daily') }}
  where
    activity_date >= (
      select cast({{ dbt.dateadd('day', -365, 'as_of') }} as date)
      from {{ ref('stg_run_context') }}
    )
),

followed as (
  select
    account_id,
    activity_date as active_on,
    lead(activity_date) over (partition by account_id order by activity_date) as ended_on
  from activity
),

final as (
  select
    account_id,
    active_on,
    ended_on,
    ended_on is not null as has_ended,
    {{ dbt.datediff('active_on', 'ended_on', 'day') }} as days
  from followed
)

select * from final
