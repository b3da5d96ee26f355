-- One row per account as of the run, with its country, time zone and calendar resolved.
with

accounts as (
  select * from {{ ref('stg_accounts') }}
),

countries as (
  select * from {{ ref('stg_countries') }}
),

known_zones as (
  select distinct time_zone from {{ ref('stg_zone_offsets') }}
),

-- A CRM that says of no account when it went live does not know: its creation stands for it.
located as (
  select
    accounts.*,
    coalesce(
      accounts.went_live_at,
      case when count(accounts.went_live_at) over () = 0 then accounts.created_at end
    ) as live_at,
    run_context.as_of,
    countries.country_code,
    coalesce(known_zones.time_zone, countries.time_zone, run_context.company_time_zone) as zone,
    case
      when known_zones.time_zone is not null then 'account'
      when countries.zones > 1 then 'zones'
      when countries.time_zone is not null then 'country'
      when nullif(trim(accounts.country), '') is null then 'company'
      else 'unknown'
    end as time_zone_source
  from accounts
  cross join {{ ref('stg_run_context') }} as run_context
  left join known_zones on accounts.time_zone = known_zones.time_zone
  left join countries on accounts.country = countries.country
),

dated as (
  select
    located.*,
    {{ local_day('located.as_of', 'now_offset') }} as as_of_day,
    {{ local_day('located.live_at', 'live_offset') }} as went_live_on,
    {{ local_day('located.renewal_at', 'renewal_offset') }} as renews_on
  from located
  {{ join_offset('now_offset', 'located.zone', 'located.as_of') }}
  {{ join_offset('live_offset', 'located.zone', 'located.live_at') }}
  {{ join_offset('renewal_offset', 'located.zone', 'located.renewal_at') }}
),

final as (
  select
    account_id,
    name,
    segment,
    plan,
    mrr,
    seats,
    touch_model,
    country,
    country_code,
    zone as time_zone,
    time_zone_source,
    locale,
    owner_name,
    owner_email,
    purpose,
    background,
    created_at,
    went_live_at,
    renewal_at,
    churned_at,
    as_of,
    as_of_day,
    coalesce(churned_at <= as_of or is_said_churned, false) as is_churned,
    coalesce(live_at <= as_of, false) as is_live,
    case when live_at <= as_of then went_live_on end as went_live_on,
    case
      when live_at <= as_of then {{ dbt.datediff('went_live_on', 'as_of_day', 'day') }}
    end as days_since_go_live,
    {{ dbt.datediff('as_of_day', 'renews_on', 'day') }} as days_to_renewal
  from dated
)

select * from final
