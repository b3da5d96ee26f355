-- A warning: many accounts without a usage score usually mean event names that nobody mapped.
{{ config(severity='warn') }}

select
  count(*) as live_accounts,
  count(case when usage_health is null then 1 end) as without_score
from {{ ref('account_360') }}
where feed_status = 'fresh' and days_since_go_live >= 0
having count(case when usage_health is null then 1 end) > 0.5 * count(*)
