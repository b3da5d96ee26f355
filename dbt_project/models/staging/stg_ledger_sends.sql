-- One row per mail to a customer that the ledger knew when the run began.
select
  send_id,
  account_id,
  contact_id,
  trigger as trigger_name,
  trigger_version,
  step,
  cycle,
  locale,
  due_at,
  not_before,
  state,
  state_at,
  detail,
  attempts,
  accepted_at
from {{ source('context', 'ledger_sends') }}
-- A list for an account's owner belongs to no account.
where account_id <> ''
