{#
  The moments that a query finds in its one row, as literals: an engine leaves out what it need
  not read of a big table by a literal, not by a join. Long ago where the query finds nothing, or
  where the relation `of` is not built yet, as when models are only compiled.
#}
{% macro moments(query, of=this) -%}
  {%- set is_there = execute and load_relation(of) is not none -%}
  {%- set columns = run_query(query).columns if is_there else [none, none] -%}
  {%- set literals = [] -%}
  {%- for column in columns -%}
    {%- set found = column.values()[0] if column is not none else none -%}
    {%- do literals.append(
      "cast('" ~ (found if found is not none else '0001-01-01') ~ "' as timestamp)"
    ) -%}
  {%- endfor -%}
  {{ return(literals) }}
{%- endmacro %}
