{# What evidence is counted by, and why. #}

{# Days after a snapshot in which a departure counts: a quarter, in which owners can act on a score.
   Reports and has_churned are worded after it. #}
{% macro churn_days() -%}
  90
{%- endmacro %}

{# Accounts that each group needs before an effect is shown: below, one account is over 3 %. #}
{% macro compared_accounts() -%}
  30
{%- endmacro %}

{# Days within which a band that goes back has not changed but swung. #}
{% macro swing_days() -%}
  7
{%- endmacro %}
