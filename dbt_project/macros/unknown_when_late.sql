{# What needs the usage feed is unknown while the account's part of it is late: neither zero nor
   dormant. #}
{% macro when_fresh(expression) -%}
  case when account_feed.feed_status = 'fresh' then {{ expression }} end
{%- endmacro %}
