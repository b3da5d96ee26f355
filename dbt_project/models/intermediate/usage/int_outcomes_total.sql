-- One row per account that was ever active: its outcomes so far, since it came back where it did.
select
  account_id,
  cast(sum(outcome_events) as {{ type_double() }}) as outcomes_total
from {{ ref('int_life_days') }}
group by account_id
