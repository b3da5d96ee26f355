{# The kinds of parts of which the usage feed's volume is watched, and the column that holds each. #}
{% macro feed_parts() -%}
  {{ return({
    'stream': 'stream',
    'segment': 'segment',
    'country': 'country_code',
    'event name': 'event_name',
  }) }}
{%- endmacro %}
