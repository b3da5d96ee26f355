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
  {{ without_trailing(
    without_trailing(as_text('cast(' ~ expression ~ ' as decimal(18, 2))'), '0'), '.'
  ) }}
{%- endmacro %}
