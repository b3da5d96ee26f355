{#
  Which account-days an incremental build of fct_account_activity_daily counts again. It equals a
  full refresh for any sequence of loads and as-ofs:

  1. Account-days with an event after the as-of, or counted in another time zone or under other
     event roles, are deleted first. What stays counts events that still count, all of them older
     than the newest event counted and brought by loads up to the newest load counted.
  2. An event that is newer than either is new: its account-day is counted again.
  3. Of the other events, each account has as many as its days count, or one of them is missing
     (deleted in step 1, or brought by a load with an older clock): then all its days are counted
     again. The numbers agree only when nothing is missing, because raw events never go away.
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

{% macro account_days_to_count() -%}
all_events as (
  select * from {{ ref('int_usage_events') }}
),

counted as (
  select
    coalesce(max(last_active_at), cast('0001-01-01' as timestamp)) as newest_event_at,
    coalesce(max(loaded_at), cast('0001-01-01' as timestamp)) as newest_load_at
  from {{ this }}
),

counted_accounts as (
  select
    account_id,
    sum(events) as events
  from {{ this }}
  group by account_id
),

incomplete_accounts as (
  select all_events.account_id
  from all_events
  cross join counted
  left join counted_accounts on all_events.account_id = counted_accounts.account_id
  where
    all_events.occurred_at <= counted.newest_event_at
    and all_events.loaded_at <= counted.newest_load_at
  group by all_events.account_id
  having count(*) <> coalesce(max(counted_accounts.events), 0)
),

changed_events as (
  select all_events.*
  from all_events
  cross join counted
  left join incomplete_accounts on all_events.account_id = incomplete_accounts.account_id
  where
    incomplete_accounts.account_id is not null
    or all_events.occurred_at > counted.newest_event_at
    or all_events.loaded_at > counted.newest_load_at
),

touched as (
  select distinct
    changed_events.account_id,
    {{ local_day('changed_events.occurred_at', 'zone') }} as activity_date
  from changed_events
  {{ join_offset('zone', 'changed_events.time_zone', 'changed_events.occurred_at') }}
),

usage_events as (
  select all_events.*
  from all_events
  where
    all_events.account_id in (select touched.account_id from touched)
    and all_events.occurred_at
    > (select {{ dbt.dateadd('day', -2, 'min(touched.activity_date)') }} from touched)
),
{%- endmacro %}
