-- One row per stage and usage band that accounts are in as of the run; unknown has its own row.
select
  coalesce(stage, 'unknown') as stage,
  coalesce(usage_band, 'unknown') as usage_band,
  count(*) as accounts,
  sum(mrr) as mrr
from {{ ref('account_360') }}
group by 1, 2
