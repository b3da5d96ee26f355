{% macro as_text(expression) -%}
  cast({{ expression }} as {{ dbt.type_string() }})
{%- endmacro %}

{# A count with its noun: 1 day, 2 days. #}
{% macro counted(expression, noun) -%}
  {{ as_text(expression) }}
  || case when {{ expression }} = 1 then ' {{ noun }}' else ' {{ noun }}s' end
{%- endmacro %}

{# Hours to a tenth, and without it where there is none: 36, 36.5. #}
{% macro hours(expression) -%}
  replace({{ as_text('cast(' ~ expression ~ ' as decimal(12, 1))') }}, '.0', '')
{%- endmacro %}

{# green, yellow or red; null stays unknown. Needs run_context in the query. #}
{% macro band(score) -%}
  case
    when {{ score }} >= run_context.green_from then 'green'
    when {{ score }} >= run_context.yellow_from then 'yellow'
    when {{ score }} is not null then 'red'
  end
{%- endmacro %}

{# The best of a group's bands; null where none is known. #}
{% macro best_band(band) -%}
  case
    when count(case when {{ band }} = 'green' then 1 end) > 0 then 'green'
    when count(case when {{ band }} = 'yellow' then 1 end) > 0 then 'yellow'
    when count({{ band }}) > 0 then 'red'
  end
{%- endmacro %}
