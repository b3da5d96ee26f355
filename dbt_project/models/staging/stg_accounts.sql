-- One row per account that existed as of the run, as it was known then.
select
  account_id,
  name,
  segment,
  plan,
  mrr,
  seats,
  touch_model,
  country,
  time_zone,
  locale,
  owner_name,
  owner_email,
  purpose,
  background,
  created_at,
  went_live_at,
  renewal_at,
  churned_at,
  coalesce(is_churned, false) as is_said_churned,
  has_usage_feed
from ({{ known_at_as_of(ref('accounts_snapshot'), 'account_id') }}) as known
where created_at <= as_of
