-- One row per account whose use no source delivers: it is unknown, and not silent.
-- The CRM says so, or no account of its segment ever had an event.
with

accounts as (
  select * from {{ ref('stg_accounts') }}
),

active_accounts as (
  select distinct account_id from {{ ref('int_account_days_counted') }}
),

segments as (
  select accounts.segment
  from accounts
  left join active_accounts on accounts.account_id = active_accounts.account_id
  where accounts.segment is not null
  group by accounts.segment
  having count(active_accounts.account_id) = 0
),

final as (
  select
    accounts.account_id,
    case when accounts.has_usage_feed is null then 'segment' else 'account' end as said_by
  from accounts
  left join segments on accounts.segment = segments.segment
  where
    not coalesce(accounts.has_usage_feed, true)
    or (accounts.has_usage_feed is null and segments.segment is not null)
)

select * from final
