{# What engines write differently: one dispatched macro each. #}

{% macro quantile(expression, share) -%}
  {{ adapter.dispatch('quantile', 'lifecycle')(expression, share) }}
{%- endmacro %}

{% macro default__quantile(expression, share) -%}
  percentile_cont({{ share }}) within group (order by {{ expression }})
{%- endmacro %}

{% macro duckdb__quantile(expression, share) -%}
  quantile_cont({{ expression }}, {{ share }})
{%- endmacro %}

{# All columns of a raw table but the loader's own, which begin with an underscore. #}
{% macro delivered_columns() -%}
  {{ adapter.dispatch('delivered_columns', 'lifecycle')() }}
{%- endmacro %}

{% macro duckdb__delivered_columns() -%}
  columns(column_name -> not starts_with(column_name, '_'))
{%- endmacro %}

{# Eight bytes: dbt's own type_float is four on some engines. #}
{% macro type_double() -%}
  {{ return(adapter.dispatch('type_double', 'lifecycle')()) }}
{%- endmacro %}

{% macro default__type_double() -%}
  {{ return('double precision') }}
{%- endmacro %}

{% macro duckdb__type_double() -%}
  {{ return('double') }}
{%- endmacro %}

{# As dbt's own, without its casts to a timestamp: they cost more than the difference. #}
{% macro duckdb__datediff(first_date, second_date, datepart) -%}
  date_diff('{{ datepart }}', {{ first_date }}, {{ second_date }})
{%- endmacro %}
