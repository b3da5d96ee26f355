-- One row per usage event up to the as-of.
select
  usage_events.event_id,
  usage_events.account_id,
  usage_events.occurred_at,
  usage_events.event_name,
  usage_events.user_id,
  usage_events.feature,
  usage_events._file as file,
  usage_events._loaded_at as loaded_at
from {{ source('raw', 'usage_events') }} as usage_events
cross join {{ ref('stg_run_context') }} as run_context
-- As a case, because a planner that sees the comparison alone takes most events for dropped,
-- and then builds its hash tables on them rather than on the accounts.
where case when usage_events.occurred_at <= run_context.as_of then 1 else 0 end = 1
