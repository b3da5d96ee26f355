-- One row per account that is measured and has not churned: its rank among its peers, as of the run.
with

compared as (
  select
    measures.*,
    accounts.as_of_day as day,
    usage.days_silent,
    coalesce(accounts.segment, '') as segment,
    coalesce({{ cohort_of('accounts') }}, cast('1970-01-01' as timestamp)) as cohort
  from {{ ref('int_usage_measures') }} as measures
  inner join {{ ref('int_account_usage') }} as usage on measures.account_id = usage.account_id
  inner join {{ ref('int_accounts_located') }} as accounts
    on measures.account_id = accounts.account_id
  where not accounts.is_churned
),

final as (
  {{ peer_ranks('compared', ['account_id'], 'cast(null as date)') }}
)

select * from final
