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
{% macro delivered_columns(relation) -%}
  {{ adapter.dispatch('delivered_columns', 'lifecycle')(relation) }}
{%- endmacro %}

{% macro default__delivered_columns(relation) -%}
  {%- set names = [] -%}
  {%- for column in adapter.get_columns_in_relation(relation) if not column.name.startswith('_') -%}
    {%- do names.append(adapter.quote(column.name)) -%}
  {%- endfor -%}
  {{ names | join(', ') or '*' }}
{%- endmacro %}

{% macro duckdb__delivered_columns(relation) -%}
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

{# A double to so many decimals, half away from zero, as a double. #}
{% macro rounded(expression, digits=0) -%}
  {{ adapter.dispatch('rounded', 'lifecycle')(expression, digits) }}
{%- endmacro %}

{% macro default__rounded(expression, digits) -%}
  round({{ expression }}, {{ digits }})
{%- endmacro %}

{# It rounds no double to decimals, and halves to even. #}
{% macro postgres__rounded(expression, digits) -%}
  cast(round(cast({{ expression }} as numeric), {{ digits }}) as {{ type_double() }})
{%- endmacro %}

{# The larger of two that is known, on engines too whose greatest knows nothing of a null. #}
{% macro greatest_known(one, other) -%}
  coalesce(greatest({{ one }}, {{ other }}), {{ one }}, {{ other }})
{%- endmacro %}

{# 1 is Monday, 7 Sunday. #}
{% macro iso_weekday(day) -%}
  {{ adapter.dispatch('iso_weekday', 'lifecycle')(day) }}
{%- endmacro %}

{% macro default__iso_weekday(day) -%}
  extract(isodow from {{ day }})
{%- endmacro %}

{% macro spark__iso_weekday(day) -%}
  extract(dayofweek_iso from {{ day }})
{%- endmacro %}

{# A text without a character at its end, however often it stands there. #}
{% macro without_trailing(expression, character) -%}
  {{ adapter.dispatch('without_trailing', 'lifecycle')(expression, character) }}
{%- endmacro %}

{% macro default__without_trailing(expression, character) -%}
  rtrim({{ expression }}, '{{ character }}')
{%- endmacro %}

{% macro spark__without_trailing(expression, character) -%}
  trim(trailing '{{ character }}' from {{ expression }})
{%- endmacro %}

{# As dbt's own, without its casts to a timestamp: they cost more than the difference. #}
{% macro duckdb__datediff(first_date, second_date, datepart) -%}
  date_diff('{{ datepart }}', {{ first_date }}, {{ second_date }})
{%- endmacro %}
