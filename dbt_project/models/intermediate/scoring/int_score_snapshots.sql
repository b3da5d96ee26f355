-- One row per account and month whose outcome is known: its measures on the month's first stored
-- day, and whether it left within the 90 days after. What a fit learns from and a score report
-- judges by; a view, as nothing else reads it.
{{ config(materialized='view') }}

with

health as (
  select * from {{ ref('int_health_days_kept') }}
),

-- Also those that the CRM has dropped since: without them, only who is still there would be judged.
accounts as (
  select
    account_id,
    segment,
    churned_at,
    as_of,
    case when dbt_valid_to <= as_of then dbt_valid_to end as dropped_at
  from ({{ known_at_as_of(ref('accounts_snapshot'), 'account_id', with_dropped=true) }}) as known
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
    accounts.segment,
    health.day,
    health.as_of,
    health.score_version,
    {%- for measure in usage_measures() %}
    health.{{ measure }},
    {%- endfor %}
    health.days_silent,
    health.usage_score_raw,
    coalesce(
      accounts.churned_at <= {{ dbt.dateadd('day', churn_days(), 'health.as_of') }}, false
    ) as has_churned
  from health
  inner join months on health.day = months.day
  inner join accounts on health.account_id = accounts.account_id
  where
    health.usage_score_raw is not null
    and health.stage <> 'churned'
    -- A departure may be recorded later than it was.
    and (accounts.churned_at is null or accounts.churned_at > health.as_of)
    -- Dropped within the 90 days and no word of it leaving: nobody knows which.
    and (
      accounts.churned_at is not null
      or accounts.dropped_at is null
      or accounts.dropped_at >= {{ dbt.dateadd('day', churn_days(), 'health.as_of') }}
    )
    and {{ dbt.dateadd('day', churn_days(), 'health.as_of') }} <= accounts.as_of
)

select * from final
