-- One row per account of the day before and measure: what its value of then would earn today.
with

before as (
  select * from {{ ref('int_health_before') }}
),

usage as (
  select
    *,
    coalesce(days_silent, days_watched) as silence_days
  from {{ ref('int_account_usage') }}
),

scoring as (
  select * from {{ ref('int_scoring') }}
),

-- Its peers of that day, as today's segments and go-lives have them.
compared as (
  select
    before.*,
    coalesce(accounts.segment, '') as segment,
    coalesce({{ cohort_of('accounts') }}, cast('1970-01-01' as timestamp)) as cohort
  from before
  inner join {{ ref('int_accounts_located') }} as accounts
    on before.account_id = accounts.account_id
  where not accounts.is_churned
),

ranked as (
  {{ peer_ranks('compared', ['account_id'], 'day') }}
),

-- A score version brings its own limits: a silence that nothing broke is held against today's.
measures_before as (
  select
    before.account_id,
    {%- for measure in usage_measures() if measure != 'recency_share' %}
    before.{{ measure }},
    {%- endfor %}
    {%- for measure in peer_measures() %}
    ranked.{{ measure }},
    {%- endfor %}
    case
      when
        coalesce(before.parameters_version, '') <> coalesce(scoring.parameters_version, '')
        and usage.silence_days >= {{ dbt.datediff('before.day', 'scoring.day', 'day') }}
        then
          cast(
            usage.silence_days - {{ dbt.datediff('before.day', 'scoring.day', 'day') }}
            as {{ type_double() }}
          ) / usage.dormancy_limit_days
      else before.recency_share
    end as recency_share
  from before
  cross join scoring
  left join usage on before.account_id = usage.account_id
  left join ranked on before.account_id = ranked.account_id
),

final as (
  {{ points_of('measures_before') }}
)

select * from final
