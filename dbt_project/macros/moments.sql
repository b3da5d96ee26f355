{#
  The moments that a query finds in its one row, as literals: an engine leaves out what it need
  not read of a big table by a literal, not by a join. Long ago where the query finds nothing.
#}
{% macro moments(query) -%}
  {%- set literals = [] -%}
  {%- for column in (run_query(query).columns if execute else [none, none]) -%}
    {%- set found = column.values()[0] if column is not none else none -%}
    {%- do literals.append(
      "cast('" ~ (found if found is not none else '0001-01-01') ~ "' as timestamp)"
    ) -%}
  {%- endfor -%}
  {{ return(literals) }}
{%- endmacro %}
