-- One row per account of the last four weeks: what a new score version or other rules moved for it,
-- and not its own use. That is no news.
with

followed as (
  select
    history.account_id,
    history.as_of,
    history.change_cause,
    history.course,
    history.is_dormant,
    history.days_silent - history.dormancy_limit_days as days_over,
    coalesce(history.parameters_version, '') as version,
    lag(history.as_of) over (partition by history.account_id order by history.as_of) as as_of_before,
    lag(history.course) over (partition by history.account_id order by history.as_of) as course_before,
    lag(history.is_dormant) over (
      partition by history.account_id order by history.as_of
    ) as was_dormant,
    lag(coalesce(history.parameters_version, '')) over (
      partition by history.account_id order by history.as_of
    ) as version_before
  from {{ ref('int_health_days_kept') }} as history
  cross join {{ ref('stg_run_context') }} as run_context
  where
    history.as_of <= run_context.as_of
    and history.as_of >= {{ dbt.dateadd('day', '-' ~ recent_days(), 'run_context.as_of') }}
),

stepped as (
  select
    *,
    coalesce(change_cause in ('weights', 'definition'), false) as is_rescaled,
    coalesce(
      is_dormant and not was_dormant and version <> version_before
      and days_over > {{ dbt.datediff('as_of_before', 'as_of', 'day') }},
      false
    ) as is_dormant_by_limit
  from followed
),

last_steps as (
  select
    account_id,
    max(case when is_rescaled then as_of end) as rescaled_at,
    max(case when is_rescaled and course = 'upsell' and course_before <> 'upsell' then as_of end)
      as upsell_at,
    max(case when course <> 'upsell' then as_of end) as no_upsell_at,
    max(case when is_dormant_by_limit then as_of end) as dormant_at,
    max(case when not is_dormant then as_of end) as awake_at
  from stepped
  group by account_id
),

final as (
  select
    account_id,
    rescaled_at,
    coalesce(upsell_at > coalesce(no_upsell_at, {{ dbt.dateadd('day', -1, 'upsell_at') }}), false)
      as is_upsell_by_version,
    coalesce(dormant_at > coalesce(awake_at, {{ dbt.dateadd('day', -1, 'dormant_at') }}), false)
      as is_dormant_by_version
  from last_steps
)

select * from final
