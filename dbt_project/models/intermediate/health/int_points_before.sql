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

-- A score version brings its own limits: a silence that nothing broke is held against today's.
measures_before as (
  select
    before.account_id,
    {%- for measure in usage_measures() if measure != 'recency_share' %}
    before.{{ measure }},
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
),

final as (
  {{ points_of('measures_before') }}
)

select * from final
