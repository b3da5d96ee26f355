select account_id
from {{ ref('account_360') }}
where
  feed_status = 'late'
  and (
    is_dormant is not null
    or days_silent is not null
    or onboarding_status is not null
    or ladder_step is not null
    or usage_health is not null
    or course is not null
    or last_active_at is not null
    or seats_used_share is not null
    or usage_change is not null
    or stage in ('onboarding', 'adoption', 'mature')
  )
