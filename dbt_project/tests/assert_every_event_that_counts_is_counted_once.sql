select
  counted.events as counted_events,
  raw_events.events as raw_events
from (
  select coalesce(sum(events), 0) as events from {{ ref('fct_account_activity_daily') }}
) as counted
cross join (
  select count(*) as events from {{ ref('int_usage_events') }}
) as raw_events
where counted.events <> raw_events.events
