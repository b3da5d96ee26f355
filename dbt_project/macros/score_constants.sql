{# What the usage score, dormancy and chances of return count by, and why. Settings of a company are
   in context.run; these are part of what the columns mean. #}

{# Days that count as recent: four whole weeks, so that each weekday counts as often. Columns are
   named after it: active_days_28, p_return_28d, active_users_28d. #}
{% macro recent_days() -%}
  28
{%- endmacro %}

{# Days of a rhythm: an account that is younger has not shown each day of its week. #}
{% macro week_days() -%}
  7
{%- endmacro %}

{# Days of an account's life that its rhythm is read from: all seasons, each once. #}
{% macro rhythm_days() -%}
  365
{%- endmacro %}

{# Gaps between active days that make a rhythm: of two, none is the usual one. #}
{% macro rhythm_gaps() -%}
  3
{%- endmacro %}

{# The segment's usual gap weighs as much as so many gaps of the account's own. #}
{% macro segment_weight() -%}
  5
{%- endmacro %}

{# Accounts with a rhythm that a segment has before it has a usual gap of its own: below, one
   account moves the median. #}
{% macro segment_accounts() -%}
  10
{%- endmacro %}

{# Silences of a length that the life table needs: below, one that ended is over 5 %. #}
{% macro life_table_silences() -%}
  20
{%- endmacro %}

{# Of those peers who did not leave, the share that may be dropped without a word before the others
   are no longer representative: more than a fifth, and those who left are over-represented. #}
{% macro most_censored_share() -%}
  0.2
{%- endmacro %}

{# Accounts of a segment that began in the same month, for them to be peers: of fewer, one account is
   more than a twentieth. #}
{% macro least_peers() -%}
  20
{%- endmacro %}

{# Points that double the odds of staying: the scale of scorecards, as health/scorecard.py has it. #}
{% macro points_to_double_odds() -%}
  20
{%- endmacro %}
