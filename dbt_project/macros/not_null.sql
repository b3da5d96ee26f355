{# As dbt's own, with the whole row: a sample of failures should say whose value is missing. #}
{% macro duckdb__test_not_null(model, column_name) -%}
  select *
  from {{ model }}
  where {{ column_name }} is null
{%- endmacro %}
