-- One row per contact of a known account as of the run.
with

contacts as (
  select * from {{ ref('stg_contacts') }}
),

accounts as (
  select account_id from {{ ref('dim_accounts') }}
),

final as (
  select contacts.*
  from contacts
  inner join accounts on contacts.account_id = accounts.account_id
)

select * from final
