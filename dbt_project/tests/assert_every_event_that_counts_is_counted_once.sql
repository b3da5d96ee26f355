with

counted as (
  select coalesce(sum(events), 0) as events from {{ ref('fct_account_activity_daily') }}
),

there as (
  select count(*) as events from {{ ref('int_usage_events') }}
)

select
  counted.events as counted_events,
  there.events as events_there
from counted
cross join there
where counted.events <> there.events
