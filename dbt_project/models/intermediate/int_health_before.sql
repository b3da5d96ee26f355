-- One row per account of the newest day with a fresh feed before the one that the run scores.
-- It reads what the runs before this one left in fct_account_health_daily.
{% set history = source('history', 'fct_account_health_daily') %}
{% set columns = {
  'day': 'date',
  'parameters_version': dbt.type_string(),
  'definition': dbt.type_string(),
  'onboarding_status': dbt.type_string(),
  'usage_score_raw': type_double(),
  'usage_health': type_double(),
  'usage_band': dbt.type_string(),
  'satisfaction_band': dbt.type_string(),
  'change_cause': dbt.type_string(),
} %}
{% for measure in usage_measures() %}{% do columns.update({measure: type_double()}) %}{% endfor %}
{% set stored = stored_columns(history) %}

with

scoring as (
  select * from {{ ref('int_scoring') }}
),

{% if stored -%}
days as (
  select max(history.day) as newest
  from {{ history }} as history
  cross join scoring
  where history.day < scoring.day and history.feed_status = 'fresh'
),

final as (
  select
    {%- for column, type in columns.items() %}
    {{ 'history.' ~ column if column in stored else 'cast(null as ' ~ type ~ ')' }} as {{ column }},
    {%- endfor %}
    history.account_id
  from {{ history }} as history
  inner join days on history.day = days.newest
)
{%- else -%}
final as (
  select
    {%- for column, type in columns.items() %}
    cast(null as {{ type }}) as {{ column }},
    {%- endfor %}
    cast(null as {{ dbt.type_string() }}) as account_id
  from scoring
  where false
)
{%- endif %}

select * from final
