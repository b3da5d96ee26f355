{# The model says one thing about the whole run. #}
{% test has_one_row(model) %}
  select count(*) as row_count
  from {{ model }}
  having count(*) <> 1
{% endtest %}
