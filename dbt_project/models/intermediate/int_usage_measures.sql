-- One row per account and measure of its usage that can be taken, with the points it earns.
{% set in_window = "' in ' || " ~ counted('window_days', 'day') %}
{% set measures = {
  'recency': (
    '1 - coalesce(days_silent, days_since_go_live) * 1.0 / dormancy_limit_days',
    "case when days_silent is null then 'never logged in' else 'silent for ' || "
      ~ counted('days_silent', 'day') ~ " || ' with a limit of ' || "
      ~ as_text('dormancy_limit_days') ~ ' end'
  ),
  'active_days': (
    'case when age_days >= 7 and window_days = 28 then active_days * 1.0 / least(28, age_days) end',
    "'active on ' || " ~ as_text('active_days') ~ " || ' of ' || "
      ~ counted('least(28, age_days)', 'day')
  ),
  'seats': (
    'case when age_days >= 7 and window_days = 28'
      ~ ' then active_users_28d * 1.0 / nullif(seats, 0) end',
    as_text('active_users_28d') ~ " || ' of ' || " ~ counted('seats', 'seat') ~ " || ' in use'"
  ),
  'features': (
    'case when age_days >= 7 and has_features then features_used * 1.0 end',
    counted('features_used', 'feature') ~ " || ' used' || " ~ in_window
  ),
  'trend': (
    'case when age_days >= 2 * window_days'
      ~ ' then active_days * 1.0 / nullif(active_days_before, 0) end',
    counted('active_days', 'active day') ~ ' || ' ~ in_window ~ " || ', after ' || "
      ~ as_text('active_days_before')
  ),
  'outcomes': (
    'case when age_days >= window_days then outcomes * 1.0 end',
    counted('outcomes', 'outcome') ~ ' || ' ~ in_window
  ),
} %}

with

usage as (
  select * from {{ ref('int_account_usage') }}
),

thresholds as (
  select * from {{ ref('int_measure_thresholds') }}
),

measured as (
  {%- for measure, (value, reason) in measures.items() %}
  select
    account_id,
    '{{ measure }}' as measure,
    {{ value }} as value,
    {{ reason }} as reason
  from usage
  {%- if not loop.last %}
  union all
  {%- endif %}
  {%- endfor %}
),

final as (
  select
    measured.account_id,
    measured.measure,
    measured.value,
    measured.reason,
    thresholds.place,
    case
      when measured.value >= thresholds.full_from then 100
      when measured.value >= thresholds.partial_from then 60
      else 0
    end as points
  from measured
  inner join thresholds on measured.measure = thresholds.measure
  where measured.value is not null
)

select * from final
