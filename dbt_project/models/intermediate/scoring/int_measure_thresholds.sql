-- One row per measure of usage: at full_at it earns 100 points, at partial_at 60, else 0.
with

final (measure, place, label, direction, full_at, partial_at) as (
  values
  ('recency_share', 1, 'silence over its limit', -1, 0.5, 1),
  ('active_days_28', 2, 'active days in 28', 1, 7, 2),
  ('active_users_share', 3, 'share of seats in use', 1, 0.6, 0.3),
  ('outcomes_28', 4, 'outcomes', 1, 2, 1),
  ('features_used_28', 5, 'features used', 1, 3, 1),
  ('trend_28', 6, 'active days over those before', 1, 0.8, 0.5),
  ('support_load', 7, 'requests for help a seat', -1, 0.2, 1)
)

select * from final
