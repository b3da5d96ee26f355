-- One row per account that was ever active: its active days as of the run, and the gaps between.
with

silences as (
  select * from {{ ref('int_silences') }}
),

accounts as (
  select * from {{ ref('int_accounts_located') }}
),

-- Days are added up before accounts are looked up: there are many more of them.
summed as (
  select
    account_id,
    count(*) as active_days,
    min(active_on) as first_active_on,
    max(active_on) as last_active_on,
    max(silent_since) as last_active_at,
    count(case when is_of_last_year then ended_on end) as gaps,
    {{ quantile('case when is_of_last_year then days end', 0.9) }} as own_gap
  from silences
  group by account_id
),

final as (
  select
    summed.account_id,
    coalesce(accounts.segment, '') as segment,
    summed.active_days,
    summed.first_active_on,
    {{ dbt.datediff('summed.first_active_on', 'accounts.as_of_day', 'day') }}
      as days_since_first_active,
    summed.last_active_on,
    summed.last_active_at,
    {{ dbt.datediff('summed.last_active_on', 'accounts.as_of_day', 'day') }} as days_silent,
    summed.gaps,
    summed.own_gap
  from summed
  inner join accounts on summed.account_id = accounts.account_id
)

select * from final
