{# The bound of Wilson's 95 % interval of a share (Wilson 1927, JASA 22: 209-212): `side` is - or +. #}
{% macro wilson(successes, trials, side) -%}
  (
    {{ successes }} + 1.920729 {{ side }} 1.959964 * sqrt(
      {{ successes }} * (1 - {{ successes }} / nullif(cast({{ trials }} as {{ type_double() }}), 0)) + 0.960365
    )
  ) / ({{ trials }} + 3.841459)
{%- endmacro %}
