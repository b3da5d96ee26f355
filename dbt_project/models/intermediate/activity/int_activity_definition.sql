-- One row per account: its activity definition, all that its account-days depend on besides events.
with

accounts as (
  select * from {{ ref('int_accounts_located') }}
),

event_roles as (
  select
    {{ dbt.listagg("role || ' ' || like_pattern", "', '", "order by role, like_pattern") }}
      as meaning
  from {{ ref('stg_event_roles') }}
),

final as (
  select
    accounts.account_id,
    accounts.time_zone,
    accounts.time_zone || ': ' || coalesce(event_roles.meaning, '') as counted_under
  from accounts
  cross join event_roles
)

select * from final
