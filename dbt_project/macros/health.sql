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
  The measures that compare an account with its peers, by what they are the rank of. Seasons,
  deadlines and holidays are common to peers, so that a rank is of the account alone.
#}
{% macro peer_measures() -%}
  {{ return({
    'peer_silence': 'days_silent',
    'peer_active_days': 'active_days_28',
    'peer_features': 'features_used_28',
    'peer_outcomes': 'outcomes_28',
    'peer_outcomes_total': 'outcomes_total',
  }) }}
{%- endmacro %}

{# The month in which an account began: its go-live, or else its creation. #}
{% macro cohort_of(accounts) -%}
  {{ dbt.date_trunc('month', 'coalesce(' ~ accounts ~ '.went_live_at, ' ~ accounts ~ '.created_at)') }}
{%- endmacro %}

{#
  One row per row of `measured`, with the rank of each peer measure from 0 (nobody is below) to 1,
  null where the value is not known. Peers are the accounts of the same day, segment and cohort;
  accounts with too few of them are compared with each other. `measured` has `keys`, segment,
  cohort, and the columns that are ranked.
#}
{% macro peer_ranks(measured, keys, day) -%}
  select
    {%- for key in keys %}
    grouped.{{ key }},
    {%- endfor %}
    grouped.has_peers
    {%- for measure, ranked in peer_measures().items() %},
    case
      when grouped.{{ ranked }} is not null
        then {{ rounded('cast((percent_rank() over ' ~ measure ~ ' + cume_dist() over ' ~ measure
          ~ ') / 2 as ' ~ type_double() ~ ')', 6) }}
    end as {{ measure }}
    {%- endfor %}
  from (
    select
      measured.*,
      count(*) over (partition by {{ day }}, segment, cohort) >= {{ least_peers() }} as has_peers
    from {{ measured }} as measured
  ) as grouped
  window
    {%- for measure, ranked in peer_measures().items() %}
    {{ measure }} as (
      partition by
        {{ day }},
        has_peers,
        case when has_peers then segment end,
        case when has_peers then cohort end,
        grouped.{{ ranked }} is null
      order by grouped.{{ ranked }}
    ){{ ',' if not loop.last }}
    {%- endfor %}
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
      when measured.value is null or thresholds.full_at is null then null
      when measured.value * thresholds.direction >= thresholds.full_at * thresholds.direction
        then 100
      when measured.value * thresholds.direction >= thresholds.partial_at * thresholds.direction
        then 60
      else 0
    end as points
  from (
    {%- for measure in usage_measures() + peer_measures().keys() | list %}
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
  `bounds` is the relation whose bounds count: scoring for usage, run_context for satisfaction.
  Needs both in the query.
#}
{% macro held_band(score, before, bounds) -%}
  case
    when {{ score }} >= {{ bounds }}.green_from + {{ margin(before, ['green']) }} then 'green'
    when {{ score }} >= {{ bounds }}.yellow_from + {{ margin(before, ['green', 'yellow']) }}
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

{# `fewer outcomes than 80 % of accounts that started in the same month`. Needs points and measures
   in the query. #}
{% macro rank_in_words(more, fewer) -%}
  {%- set words -%}
  case when points.value >= 0.5 then '{{ more }}' else '{{ fewer }}' end
  || ' than ' || {{ as_text('cast(' ~ rounded('100 * greatest(points.value, 1 - points.value)', 0) ~ ' as bigint)') }} || ' % of '
  || case
    when measures.has_peers then 'accounts that started in the same month'
    else 'the accounts that it is compared with'
  end
  {%- endset -%}
  {{ return(words) }}
{%- endmacro %}
