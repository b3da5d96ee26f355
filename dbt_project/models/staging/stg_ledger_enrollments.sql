-- One row per entry of an account into a trigger.
select
  account_id,
  trigger as trigger_name,
  cycle,
  entered_version as trigger_version,
  enrolled_at,
  ended_at,
  end_reason,
  held_out,
  goal_until,
  goal_met_at
from {{ source('context', 'ledger_enrollments') }}
