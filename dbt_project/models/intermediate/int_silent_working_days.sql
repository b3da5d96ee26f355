-- One row per account that was ever active: working days that are over, and were without activity.
{{ config(materialized='view') }}

with

accounts as (
  select * from {{ ref('dim_accounts') }}
),

activity as (
  select * from {{ ref('int_account_activity') }}
),

working_days as (
  select * from {{ ref('int_working_days') }}
),

located as (
  select
    activity.account_id,
    activity.last_active_on,
    coalesce(accounts.country_code, run_context.company_country) as country_code,
    cast({{ dbt.dateadd('day', -1, 'accounts.as_of_day') }} as date) as yesterday
  from activity
  inner join accounts on activity.account_id = accounts.account_id
  cross join {{ ref('stg_run_context') }} as run_context
),

-- Who was last active before the first of the days has had working days enough since.
final as (
  select
    located.account_id,
    greatest(until_yesterday.working_days - coalesce(until_active.working_days, 0), 0)
      as working_days_silent
  from located
  inner join working_days as until_yesterday
    on
      located.country_code = until_yesterday.country_code
      and located.yesterday = until_yesterday.calendar_day
  left join working_days as until_active
    on
      located.country_code = until_active.country_code
      and located.last_active_on = until_active.calendar_day
)

select * from final
