{# A step is shown in a month, and stands until the end of the month after: from then on it is not. #}
{% macro stands_until(day) -%}
  cast({{ dbt.dateadd('month', 2, dbt.date_trunc('month', day)) }} as date)
{%- endmacro %}
