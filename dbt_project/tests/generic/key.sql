{# What there is one row per: never null, and never twice. A column, or `columns` of a model. #}
{% test key(model, column_name=none, columns=none) %}
  {%- set columns = columns or [column_name] %}
  select
    {{ columns | join(', ') }},
    count(*) as times
  from {{ model }}
  group by {{ columns | join(', ') }}
  having
    count(*) > 1
    {%- for column in columns %}
    or {{ column }} is null
    {%- endfor %}
{% endtest %}
