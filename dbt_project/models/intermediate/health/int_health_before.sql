-- One row per account stored before the day that the run scores: what needs the usage feed as of
-- the newest day with a fresh one, satisfaction, which needs none, as of the newest day.
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
  select
    max(case when history.feed_status = 'fresh' then history.day end) as newest_fresh,
    max(history.day) as newest
  from {{ history }} as history
  cross join scoring
  where history.day < scoring.day
),

-- Of accounts whose part of the feed was late on that day: their own newest fresh one before it.
late_then as (
  select history.account_id
  from {{ history }} as history
  inner join days on history.day = days.newest_fresh
  where history.feed_status = 'late'
),

own_days as (
  select
    history.account_id,
    max(history.day) as day
  from {{ history }} as history
  inner join days
    on
      history.day < days.newest_fresh
      and history.day >= {{ dbt.dateadd('day', -28, 'days.newest_fresh') }}
  inner join late_then on history.account_id = late_then.account_id
  where history.feed_status = 'fresh'
  group by history.account_id
),

usage as (
  select history.*
  from {{ history }} as history
  cross join days
  left join own_days on history.account_id = own_days.account_id
  where
    (history.day = days.newest_fresh and history.feed_status = 'fresh')
    or history.day = own_days.day
),

satisfaction as (
  select history.*
  from {{ history }} as history
  inner join days on history.day = days.newest
),

final as (
  select
    {%- for column, type in columns.items() %}
    {%- set as_of_day = 'satisfaction' if column == 'satisfaction_band' else 'usage' %}
    {{ as_of_day ~ '.' ~ column if column in stored else 'cast(null as ' ~ type ~ ')' }}
      as {{ column }},
    {%- endfor %}
    coalesce(usage.account_id, satisfaction.account_id) as account_id
  from usage
  full outer join satisfaction on usage.account_id = satisfaction.account_id
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
