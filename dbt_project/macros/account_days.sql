{#
  Which account-days an incremental build of fct_account_activity_daily counts again. It equals a
  full refresh for any sequence of loads and as-ofs:

  1. Account-days with an event after the as-of, or counted in another time zone or under other
     event roles, are deleted. What stays counts only events that still count, none newer than
     the newest event counted, none brought by a load newer than the newest load counted.
  2. Of the events within these two bounds, an account has as many as its days count, or one is
     missing: deleted in step 1, brought by a load with an older clock, or erased. Then all its
     days are deleted.
  3. Counted are the days of events outside the bounds, and of accounts without any day.
#}
{% macro delete_outdated_account_days() -%}
  {% if is_incremental() -%}
  delete from {{ this }}
  where
    last_active_at > (select as_of from {{ ref('stg_run_context') }})
    or not exists (
      select 1
      from {{ ref('int_counting_rules') }} as counting_rules
      where
        counting_rules.account_id = {{ this.identifier }}.account_id
        and counting_rules.counted_under = {{ this.identifier }}.counted_under
    )
  {%- endif %}
{%- endmacro %}

{% macro newest_counted() -%}
  select
    coalesce(max(last_active_at), cast('0001-01-01' as timestamp)) as newest_event_at,
    coalesce(max(loaded_at), cast('0001-01-01' as timestamp)) as newest_load_at
  from {{ this }}
{%- endmacro %}

{% macro delete_incomplete_accounts() -%}
  {% if is_incremental() -%}
  delete from {{ this }}
  where account_id in (
    select counted.account_id
    from (
      select
        account_id,
        sum(events) as events
      from {{ this }}
      group by account_id
    ) as counted
    left join (
      select
        usage_events.account_id,
        count(*) as events
      from {{ ref('int_usage_events') }} as usage_events
      cross join ({{ newest_counted() }}) as bounds
      where
        usage_events.occurred_at <= bounds.newest_event_at
        and usage_events.loaded_at <= bounds.newest_load_at
      group by usage_events.account_id
    ) as there on counted.account_id = there.account_id
    where counted.events <> coalesce(there.events, 0)
  )
  {%- endif %}
{%- endmacro %}

{% macro account_days_to_count() -%}
all_events as (
  select * from {{ ref('int_usage_events') }}
),

bounds as (
  {{ newest_counted() }}
),

counted_accounts as (
  select distinct account_id from {{ this }}
),

new_events as (
  select all_events.*
  from all_events
  cross join bounds
  left join counted_accounts on all_events.account_id = counted_accounts.account_id
  where
    counted_accounts.account_id is null
    or all_events.occurred_at > bounds.newest_event_at
    or all_events.loaded_at > bounds.newest_load_at
),

touched as (
  select distinct
    new_events.account_id,
    {{ local_day('new_events.occurred_at', 'zone') }} as activity_date
  from new_events
  {{ join_offset('zone', 'new_events.time_zone', 'new_events.occurred_at') }}
),

earliest as (
  select {{ dbt.dateadd('day', -2, 'min(activity_date)') }} as moment from touched
),

usage_events as (
  select all_events.*
  from all_events
  cross join earliest
  where
    all_events.account_id in (select touched.account_id from touched)
    and all_events.occurred_at > earliest.moment
),
{%- endmacro %}
