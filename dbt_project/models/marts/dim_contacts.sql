-- One row per contact of a known account as of the run.
with

contacts as (
  select * from {{ ref('stg_contacts') }}
),

accounts as (
  select account_id from {{ ref('dim_accounts') }}
),

-- Who leaves means their address, whichever of its accounts the CRM wrote it down at.
left_addresses as (
  select
    email_normalized,
    min(unsubscribed_at) as address_unsubscribed_at
  from contacts
  where unsubscribed_at is not null
  group by email_normalized
),

final as (
  select
    contacts.*,
    left_addresses.address_unsubscribed_at
  from contacts
  inner join accounts on contacts.account_id = accounts.account_id
  left join left_addresses on contacts.email_normalized = left_addresses.email_normalized
)

select * from final
