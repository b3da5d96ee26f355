select
  account_id,
  days_silent,
  dormancy_limit_days
from {{ ref('account_360') }}
where is_dormant and days_silent <= dormancy_limit_days
