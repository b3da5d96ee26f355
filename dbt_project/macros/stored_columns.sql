{# Names of a relation's columns as it stands in the warehouse; none where it is not there yet. #}
{% macro stored_columns(relation) -%}
  {{ return(
    adapter.get_columns_in_relation(relation) | map(attribute='name') | list
    if execute and load_relation(relation) is not none else []
  ) }}
{%- endmacro %}
