{# No two rows agree in all of these columns. #}
{% test unique_rows(model, columns) %}
  select
    {{ columns | join(', ') }},
    count(*) as times
  from {{ model }}
  group by {{ columns | join(', ') }}
  having count(*) > 1
{% endtest %}
