-- One row per account and month whose outcome is known: its measures and its ranks among peers on
-- the month's first stored day, and whether it left within the 90 days after. What a fit learns from
-- and a score report judges by; a view, as nothing else reads it.
{{ config(materialized='view') }}

with

health as (
  select * from {{ ref('int_health_days_kept') }}
),

-- Also those that the CRM has dropped since: without them, only who is still there would be judged.
accounts as (
  select
    known.account_id,
    coalesce(known.segment, '') as segment,
    coalesce({{ cohort_of('known') }}, cast('1970-01-01' as timestamp)) as cohort,
    known.churned_at,
    known.as_of,
    case when known.dbt_valid_to <= known.as_of then known.dbt_valid_to end as dropped_at
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

scored as (
  select
    health.account_id,
    accounts.segment,
    accounts.cohort,
    health.day,
    health.as_of,
    health.score_version,
    {%- for measure in usage_measures() %}
    health.{{ measure }},
    {%- endfor %}
    health.outcomes_total,
    health.days_silent,
    health.usage_score_raw,
    health.usage_band,
    accounts.churned_at,
    coalesce(
      accounts.churned_at <= {{ dbt.dateadd('day', churn_days(), 'health.as_of') }}, false
    ) as has_churned,
    -- Dropped within the 90 days and no word of it leaving: nobody knows which.
    accounts.churned_at is null
    and accounts.dropped_at is not null
    and accounts.dropped_at < {{ dbt.dateadd('day', churn_days(), 'health.as_of') }} as is_censored
  from health
  inner join months on health.day = months.day
  inner join accounts on health.account_id = accounts.account_id
  where
    health.usage_score_raw is not null
    and health.stage <> 'churned'
    -- A departure may be recorded later than it was.
    and (accounts.churned_at is null or accounts.churned_at > health.as_of)
    and {{ dbt.dateadd('day', churn_days(), 'health.as_of') }} <= accounts.as_of
),

ranked as (
  {{ peer_ranks('scored', ['account_id', 'day'], 'day') }}
),

-- Where many of those who stayed were dropped, as when a cohort ends, those who left before it are
-- all that is known: then nobody of these peers is judged.
known as (
  select
    scored.*,
    ranked.has_peers,
    {%- for measure in peer_measures() %}
    ranked.{{ measure }},
    {%- endfor %}
    sum(case when scored.is_censored then 1 else 0 end) over peers as censored,
    sum(case when scored.has_churned then 0 else 1 end) over peers as stayed
  from scored
  inner join ranked on scored.account_id = ranked.account_id and scored.day = ranked.day
  window peers as (
    partition by
      scored.day,
      ranked.has_peers,
      case when ranked.has_peers then scored.segment end,
      case when ranked.has_peers then scored.cohort end
  )
),

final as (
  select
    account_id,
    segment,
    day,
    as_of,
    score_version,
    {%- for measure in usage_measures() + peer_measures().keys() | list %}
    {{ measure }},
    {%- endfor %}
    outcomes_total,
    days_silent,
    usage_score_raw,
    usage_band,
    has_churned
  from known
  where not is_censored and censored <= {{ most_censored_share() }} * stayed
)

select * from final
