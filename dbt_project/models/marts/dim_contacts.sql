-- One row per contact of a known account as of the run.
with

contacts as (
  select * from {{ ref('stg_contacts') }}
),

accounts as (
  select account_id from {{ ref('dim_accounts') }}
),

consents as (
  select
    email_normalized,
    max(consented_at) as consented_at
  from contacts
  group by email_normalized
),

-- Who leaves means their address, whichever of its accounts the CRM wrote it down at, and in
-- whichever row: also one that was rejected.
departures as (
  select
    email_normalized,
    unsubscribed_at
  from {{ ref('stg_departures') }}
  union all
  select
    contacts.email_normalized,
    contacts.unsubscribed_at
  from contacts
  inner join consents on contacts.email_normalized = consents.email_normalized
  where
    contacts.unsubscribed_at is not null
    and (consents.consented_at is null or consents.consented_at <= contacts.unsubscribed_at)
),

left_addresses as (
  select
    email_normalized,
    min(unsubscribed_at) as address_unsubscribed_at
  from departures
  group by email_normalized
),

final as (
  select
    contacts.contact_id,
    contacts.account_id,
    contacts.email,
    contacts.email_normalized,
    contacts.name,
    contacts.role,
    contacts.locale,
    contacts.consent_basis,
    contacts.consented_at,
    contacts.unsubscribed_at,
    left_addresses.address_unsubscribed_at
  from contacts
  inner join accounts on contacts.account_id = accounts.account_id
  left join left_addresses on contacts.email_normalized = left_addresses.email_normalized
)

select * from final
