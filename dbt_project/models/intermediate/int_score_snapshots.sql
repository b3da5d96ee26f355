-- One row per account and month whose outcome is known: its measures on the month's first stored
-- day, and whether it left within the 90 days after. A view: only a score report reads it.
{{ config(materialized='view') }}

with

health as (
  select * from {{ ref('fct_account_health_daily') }}
),

accounts as (
  select * from {{ ref('dim_accounts') }}
),

months as (
  select
    {{ dbt.date_trunc('month', 'day') }} as month_of,
    min(day) as day
  from health
  where feed_status = 'fresh' and usage_score_raw is not null
  group by 1
),

final as (
  select
    health.account_id,
    health.day,
    health.as_of,
    health.score_version,
    {%- for measure in usage_measures() %}
    health.{{ measure }},
    {%- endfor %}
    health.days_silent,
    health.usage_score_raw,
    coalesce(
      accounts.churned_at <= {{ dbt.dateadd('day', 90, 'health.as_of') }}, false
    ) as has_churned
  from health
  inner join months on health.day = months.day
  inner join accounts on health.account_id = accounts.account_id
  where
    health.usage_score_raw is not null
    and health.stage <> 'churned'
    and {{ dbt.dateadd('day', 90, 'health.as_of') }} <= accounts.as_of
)

select * from final
