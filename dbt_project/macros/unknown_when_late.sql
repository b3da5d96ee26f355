{# What needs the usage feed is unknown while the account's part of it is late: neither zero nor
   dormant. #}
{% macro when_fresh(expression) -%}
  case when account_feed.feed_status = 'fresh' then {{ expression }} end
{%- endmacro %}

{# First core events, outcomes and what follows from them are unknown too while no event matches a
   pattern that means them any more. #}
{% macro when_milestones_known(expression) -%}
  case
    when account_feed.feed_status = 'fresh' and account_feed.milestones_unknown_because is null
      then {{ expression }}
  end
{%- endmacro %}
