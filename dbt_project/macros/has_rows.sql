{# Whether there is a row when the model is made: an engine then need not read what is not used. #}
{% macro has_rows(relation) -%}
  {{ return(
    execute
    and load_relation(relation) is not none
    and run_query('select 1 from ' ~ relation ~ ' limit 1').rows | length > 0
  ) }}
{%- endmacro %}
