{# Joins the minutes east of UTC that a zone keeps at a moment, as <name>.offset_minutes. #}
{% macro join_offset(name, time_zone, moment) -%}
  left join {{ ref('stg_zone_offsets') }} as {{ name }}
    on
      {{ name }}.time_zone = {{ time_zone }}
      and {{ name }}.utc_year = extract(year from {{ moment }})
      and {{ moment }} >= {{ name }}.from_utc
      and {{ moment }} < {{ name }}.until_utc
{%- endmacro %}

{% macro local_time(moment, offset) -%}
  {{ dbt.dateadd('minute', 'coalesce(' ~ offset ~ '.offset_minutes, 0)', moment) }}
{%- endmacro %}

{% macro local_day(moment, offset) -%}
  cast({{ local_time(moment, offset) }} as date)
{%- endmacro %}
