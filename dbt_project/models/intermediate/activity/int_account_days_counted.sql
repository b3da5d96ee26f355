-- One row per account and local day on which it was active, up to the as-of.
{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['account_id', 'activity_date'],
    pre_hook=[
      "{{ delete_outdated_account_days() }}",
      "{{ delete_incomplete_accounts() }}",
    ]
) }}

-- What the incremental build reads besides:
-- depends_on: {{ ref('stg_run_context') }}, {{ ref('int_activity_definition') }}
-- depends_on: {{ ref('stg_usage_events') }}, {{ ref('int_event_roles') }}

with

{% if is_incremental() -%}
{{ events_to_count() }}
{%- else -%}
usage_events as (
  select * from {{ ref('int_usage_events') }}
),
{%- endif %}

dated as (
  select
    usage_events.*,
    {{ local_day('usage_events.occurred_at', 'zone') }} as activity_date
  from usage_events
  {{ join_offset('zone', 'usage_events.time_zone', 'usage_events.occurred_at') }}
),

{% if is_incremental() -%}
touched as (
  select distinct
    account_id,
    activity_date
  from dated
  where is_new
),

{% endif -%}
final as (
  select
    dated.account_id,
    dated.activity_date,
    count(*) as events,
    count(distinct dated.user_id) as active_users,
    count(distinct dated.feature) as features_used,
    count(case when dated.is_core then 1 end) as core_events,
    count(case when dated.is_outcome then 1 end) as outcome_events,
    min(dated.occurred_at) as first_active_at,
    max(dated.occurred_at) as last_active_at,
    min(case when dated.is_core then dated.occurred_at end) as first_core_at,
    min(case when dated.is_outcome then dated.occurred_at end) as first_outcome_at,
    max(dated.loaded_at) as loaded_at,
    max(dated.counted_under) as counted_under
  from dated
  {% if is_incremental() -%}
  inner join touched
    on dated.account_id = touched.account_id and dated.activity_date = touched.activity_date
  {%- endif %}
  group by dated.account_id, dated.activity_date
)

select * from final
