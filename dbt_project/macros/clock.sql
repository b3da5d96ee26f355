{# A version of a row begins and ends by the clock of the load, never by the wall clock. #}
{% macro snapshot_get_time() -%}
  (select loaded_at from {{ source('context', 'run') }})
{%- endmacro %}

{#
  The version of each row that was known at the as-of, else the oldest known one. What was known
  and had gone by then is absent. A version that ends before it begins was replaced by a load
  whose clock stood earlier: it never counted.
#}
{% macro known_at_as_of(history, key, with_dropped=false) -%}
  select *
  from (
    select
      history.*,
      run_context.as_of,
      row_number() over (
        partition by history.{{ key }}
        order by
          case
            when history.dbt_valid_from <= run_context.as_of then history.dbt_valid_from
          end desc nulls last,
          history.dbt_valid_from asc,
          history.dbt_valid_to desc nulls first
      ) as version_rank
    from {{ history }} as history
    cross join {{ ref('stg_run_context') }} as run_context
    where history.dbt_valid_to is null or history.dbt_valid_to > history.dbt_valid_from
  ) as versions
  where
    version_rank = 1
    {%- if not with_dropped %}
    and (dbt_valid_from > as_of or dbt_valid_to is null or dbt_valid_to > as_of)
    {%- endif %}
{%- endmacro %}
