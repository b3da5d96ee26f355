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

{# A number to a hundredth, without zeros at its end: 36, 0.5, 0.25. #}
{% macro number(expression) -%}
  rtrim(rtrim({{ as_text('cast(' ~ expression ~ ' as decimal(18, 2))') }}, '0'), '.')
{%- endmacro %}

{# The best of a group's bands; null where none is known. #}
{% macro best_band(band) -%}
  case
    when count(case when {{ band }} = 'green' then 1 end) > 0 then 'green'
    when count(case when {{ band }} = 'yellow' then 1 end) > 0 then 'yellow'
    when count({{ band }}) > 0 then 'red'
  end
{%- endmacro %}
