{#
  Which account-days an incremental build of int_account_days_counted counts again. It equals a full
  refresh for any sequence of loads and as-ofs:

  1. Account-days with an event after the as-of, or counted in another time zone or under other
     event roles, are outdated and deleted. What stays counts only events that still count, none
     newer than the newest event counted, none of a load newer than the newest load counted.
  2. Of the events within these two bounds, an account has as many as its days count, or it is
     incomplete: one was deleted in step 1, brought by a load with an older clock, or erased.
     Then all its days are deleted.
  3. Counted are the days of events outside the bounds, and of incomplete accounts.
#}
{% macro is_outdated() -%}
  (
    last_active_at > (select as_of from {{ ref('stg_run_context') }})
    or not exists (
      select 1
      from {{ ref('int_activity_definition') }} as activity_definition
      where
        activity_definition.account_id = {{ this.identifier }}.account_id
        and activity_definition.counted_under = {{ this.identifier }}.counted_under
    )
  )
{%- endmacro %}

{% macro is_out_of_bounds() -%}
  {%- set bounds = moments(
    'select max(last_active_at) as newest_event_at, max(loaded_at) as newest_load_at from '
    ~ this ~ ' where not ' ~ is_outdated()
  ) -%}
  (occurred_at > {{ bounds[0] }} or loaded_at > {{ bounds[1] }})
{%- endmacro %}

{# Events are summed up by name first: few rows are left to look up accounts and roles for. #}
{% macro incomplete_accounts(is_new) -%}
  select coalesce(there.account_id, counted.account_id) as account_id
  from (
    select
      by_name.account_id,
      sum(by_name.events) as events
    from (
      select
        account_id,
        event_name,
        count(*) as events
      from {{ ref('stg_usage_events') }}
      where not {{ is_new }}
      group by account_id, event_name
    ) as by_name
    inner join {{ ref('int_event_roles') }} as event_roles
      on by_name.event_name = event_roles.event_name
    inner join {{ ref('int_activity_definition') }} as activity_definition
      on by_name.account_id = activity_definition.account_id
    group by by_name.account_id
  ) as there
  full outer join (
    select
      account_id,
      sum(events) as events
    from {{ this }}
    where not {{ is_outdated() }}
    group by account_id
  ) as counted on there.account_id = counted.account_id
  where coalesce(there.events, 0) <> coalesce(counted.events, 0)
{%- endmacro %}

{% macro delete_outdated_account_days() -%}
  {% if is_incremental() -%}
  delete from {{ this }} where {{ is_outdated() }}
  {%- endif %}
{%- endmacro %}

{% macro delete_incomplete_accounts() -%}
  {% if is_incremental() -%}
  delete from {{ this }}
  where account_id in ({{ incomplete_accounts(is_out_of_bounds()) }})
  {%- endif %}
{%- endmacro %}

{# The second step is left out of the query where no account needs it: it reads all events. #}
{% macro events_to_count() -%}
{%- set is_new = is_out_of_bounds() -%}
{%- set earliest_new = moments(
  "select coalesce(min(occurred_at), cast('9999-01-01' as timestamp)) from "
  ~ ref('stg_usage_events') ~ ' where ' ~ is_new
)[0] -%}
{%- set incomplete = incomplete_accounts(is_new) -%}
{%- set some_are_incomplete = execute
  and run_query('select 1 from (' ~ incomplete ~ ') as incomplete limit 1').rows | length > 0 -%}
{% if some_are_incomplete -%}
incomplete_accounts as (
  {{ incomplete }}
),

{% endif -%}
-- A local day begins and ends within two days of any moment in it.
recent_events as (
  select
    *,
    {{ is_new }} as is_new
  from {{ ref('int_usage_events') }}
  where
    occurred_at > {{ dbt.dateadd('day', -2, earliest_new) }}
    {% if some_are_incomplete -%}
    and account_id not in (select account_id from incomplete_accounts)
    {%- endif %}
),

usage_events as (
  select * from recent_events
  {% if some_are_incomplete -%}
  union all
  select
    *,
    true as is_new
  from {{ ref('int_usage_events') }}
  where account_id in (select account_id from incomplete_accounts)
  {%- endif %}
),
{%- endmacro %}
