-- One row per account and measure of its usage, with the points it earns and the words for it.
{% set in_window = "' in ' || " ~ counted('usage.window_days', 'day') %}
{% set reasons = {
  'recency_share': "case when usage.days_silent is null then 'never logged in' else 'silent for ' || "
    ~ counted('usage.days_silent', 'day') ~ " || ' with a limit of ' || "
    ~ as_text('usage.dormancy_limit_days') ~ ' end',
  'active_days_28': "'active on ' || " ~ as_text('usage.active_days') ~ " || ' of ' || "
    ~ counted('least(' ~ recent_days() ~ ', usage.age_days)', 'day'),
  'active_users_share': as_text('usage.active_users_28d') ~ " || ' of ' || "
    ~ counted('usage.seats', 'seat') ~ " || ' in use'",
  'features_used_28': counted('usage.features_used', 'feature') ~ " || ' used' || " ~ in_window,
  'trend_28': counted('usage.active_days', 'active day') ~ ' || ' ~ in_window ~ " || ', after ' || "
    ~ as_text('usage.active_days_before'),
  'outcomes_28': counted('usage.outcomes', 'outcome') ~ ' || ' ~ in_window,
  'peer_silence': rank_in_words('silent for longer', 'silent for less long'),
  'peer_active_days': rank_in_words('active on more days', 'active on fewer days'),
  'peer_features': rank_in_words('more features', 'fewer features'),
  'peer_outcomes': rank_in_words('more outcomes in ' ~ recent_days() ~ ' days', 'fewer outcomes in ' ~ recent_days() ~ ' days'),
  'peer_outcomes_total': rank_in_words('more outcomes', 'fewer outcomes'),
  'support_load': number('points.value') ~ " || ' requests for help a seat in " ~ recent_days() ~ " days'",
} %}

with

measures as (
  select
    measured.*,
    {%- for measure in peer_measures() %}
    ranks.{{ measure }},
    {%- endfor %}
    ranks.has_peers
  from {{ ref('int_usage_measures') }} as measured
  left join {{ ref('int_peer_ranks') }} as ranks on measured.account_id = ranks.account_id
),

usage as (
  select * from {{ ref('int_account_usage') }}
),

points as (
  {{ points_of('measures') }}
),

final as (
  select
    points.*,
    case
      when points.value is null then points.label || ': not known'
      {%- for measure, reason in reasons.items() %}
      when points.measure = '{{ measure }}' then {{ reason }}
      {%- endfor %}
    end as reason
  from points
  inner join measures on points.account_id = measures.account_id
  inner join usage on points.account_id = usage.account_id
  where points.points is not null
)

select * from final
