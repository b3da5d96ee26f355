{#
  The chance that an account is active again `within` so many days: MBG/NBD in closed form
  (Batislam, Denizel and Filiztekin 2007), as lifecycle/health/return_chance.py has it.

  repeats: active days but the first; last: days from the first to the last active one; age: days
  since the first; r, alpha, a, b: what the segment's accounts have in common, doubles, alpha in
  days. In logarithms, and no exponent beyond 500: engines refuse or lose what is smaller than a
  double can hold.
#}
{% macro p_return(repeats, last, age, within, r, alpha, a, b) -%}
  ({{ p_alive(repeats, last, age, r, alpha, a, b) }} * (1 - exp(-least(500,
    ({{ r }} + {{ repeats }}) * ln(1 + {{ within }} / ({{ alpha }} + {{ age }}))
  ))))
{%- endmacro %}

{# The chance that it has not left: 1 / (1 + a / (b + repeats) / S), S as in ln_survival. #}
{% macro p_alive(repeats, last, age, r, alpha, a, b) -%}
  (1 / (1 + exp(greatest(-500, least(500,
    ln({{ a }} / ({{ b }} + {{ repeats }})) - {{ ln_survival(repeats, last, age, r, alpha) }}
  )))))
{%- endmacro %}

{# Logarithm of the chance that an account still alive is silent from `last` to `age`. #}
{% macro ln_survival(repeats, last, age, r, alpha) -%}
  (({{ r }} + {{ repeats }}) * ln(({{ alpha }} + {{ last }}) / ({{ alpha }} + {{ age }})))
{%- endmacro %}
