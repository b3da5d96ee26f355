{# What needs the usage feed is unknown while the feed is late: neither zero nor dormant. #}
{% macro when_fresh(expression) -%}
  case when feed_health.feed_status = 'fresh' then {{ expression }} end
{%- endmacro %}
