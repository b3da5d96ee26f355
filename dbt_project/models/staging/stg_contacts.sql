-- One row per contact, as it was known as of the run; leaving counts as of today.
with

contacts as (
  {{ known_at_as_of(ref('contacts_snapshot'), 'contact_id') }}
),

-- Whoever has left since must not be mailed by a run that looks at an earlier day.
today as (
  select
    contact_id,
    unsubscribed_at
  from {{ source('raw', 'contacts') }}
),

final as (
  select
    contacts.contact_id,
    contacts.account_id,
    contacts.email,
    lower(trim(contacts.email)) as email_normalized,
    contacts.name,
    contacts.role,
    contacts.locale,
    contacts.consent_basis,
    contacts.consented_at,
    case
      when today.contact_id is null then contacts.unsubscribed_at else today.unsubscribed_at
    end as unsubscribed_at
  from contacts
  left join today on contacts.contact_id = today.contact_id
)

select * from final
