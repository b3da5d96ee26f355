{# The measures of usage, as columns of int_usage_measures. #}
{% macro usage_measures() -%}
  {{ return([
    'recency_share',
    'active_days_28',
    'active_users_share',
    'features_used_28',
    'trend_28',
    'outcomes_28',
    'support_load',
  ]) }}
{%- endmacro %}

{#
  One row per account and measure of `measures`, with the points that the value earns today: of
  its bin, where the run's score version has learned them, else 100, 60 or 0 by the thresholds
  (null where the value is not known).
#}
{% macro points_of(measures) -%}
  select
    measured.account_id,
    measured.measure,
    measured.value,
    thresholds.place,
    thresholds.label,
    case
      when scoring.score_version is not null then bins.points
      when measured.value is null then null
      when measured.value * thresholds.direction >= thresholds.full_at * thresholds.direction
        then 100
      when measured.value * thresholds.direction >= thresholds.partial_at * thresholds.direction
        then 60
      else 0
    end as points
  from (
    {%- for measure in usage_measures() %}
    select
      account_id,
      '{{ measure }}' as measure,
      {{ measure }} as value
    from {{ measures }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
  ) as measured
  cross join {{ ref('int_scoring') }} as scoring
  inner join {{ ref('int_measure_thresholds') }} as thresholds
    on measured.measure = thresholds.measure
  left join {{ ref('stg_evidence_bins') }} as bins
    on
      scoring.score_version = bins.version
      and measured.measure = bins.measure
      and (
        (measured.value > bins.above and measured.value <= bins.up_to)
        or (measured.value is null and bins.above is null)
      )
{%- endmacro %}

{#
  The score of a day, 0 to 100, that its points make: their mean under equal weights, else what they
  add up to. Needs scoring in the query.
#}
{% macro score_of(mean_points, sum_points) -%}
  {%- set score -%}
  case
    when scoring.score_version is null then {{ mean_points }}
    else greatest(0, least(100, scoring.base_points + {{ sum_points }}))
  end
  {%- endset -%}
  {{ rounded(score, 6) }}
{%- endmacro %}

{#
  green, yellow or red, by the band before: it holds until the score is `band_hysteresis` points
  beyond the bound. Without a band before, the bounds themselves decide; null stays unknown.
  Needs run_context in the query.
#}
{% macro held_band(score, before) -%}
  case
    when {{ score }} >= run_context.green_from + {{ margin(before, ['green']) }} then 'green'
    when {{ score }} >= run_context.yellow_from + {{ margin(before, ['green', 'yellow']) }}
      then 'yellow'
    when {{ score }} is not null then 'red'
  end
{%- endmacro %}

{# Who is above the bound leaves it below; who is below comes over it above. #}
{% macro margin(before, above) -%}
  case
    when {{ before }} is null then 0
    when {{ before }} in ('{{ above | join("', '") }}') then -run_context.band_hysteresis
    else run_context.band_hysteresis
  end
{%- endmacro %}
