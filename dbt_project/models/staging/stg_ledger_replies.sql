-- One row per message that came back to the mailbox about a mail to a customer.
select
  key as reply_id,
  kind as reply_kind,
  came_at as replied_at,
  send_id,
  account_id,
  contact_id,
  trigger as trigger_name,
  step,
  cycle,
  label as answer,
  return_on,
  settled_at
from {{ source('context', 'ledger_replies') }}
where account_id <> ''
