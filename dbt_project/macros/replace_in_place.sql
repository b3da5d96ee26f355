{#
  A table or view takes the place of the old one in the transaction that makes it. dbt's own way
  over an intermediate name and a backup is for warehouses that are read meanwhile: nobody reads
  this one before it is published, and the renames take longer than most of the models.
#}
{% materialization table, adapter='duckdb' -%}
  {{ return(replace_in_place('table')) }}
{%- endmaterialization %}

{% materialization view, adapter='duckdb' -%}
  {{ return(replace_in_place('view')) }}
{%- endmaterialization %}

{% macro replace_in_place(type) -%}
  {%- set there = load_cached_relation(this) -%}
  {%- set made = this.incorporate(type=type) -%}
  {{ run_hooks(pre_hooks) }}
  {%- call statement('main') -%}
    {%- if there is not none %}
    {{ get_drop_sql(there) }};
    {%- endif %}
    {{ get_create_sql(made, sql) }}
  {%- endcall %}
  {{ run_hooks(post_hooks) }}
  {{ adapter.commit() }}
  {{ return({'relations': [made]}) }}
{%- endmacro %}
