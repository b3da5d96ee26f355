-- One row per measure of usage: at full_at it earns 100 points, at partial_at 60, else 0.
-- They hold until `lifecycle fit-scores` has learned points from the company's own departures.
with

final (measure, place, label, direction, full_at, partial_at) as (
  values
  -- half of the account's own limit of silence, and the limit: then it is dormant
  ('recency_share', 1, 'silence over its limit', -1, 0.5, 1),
  -- about twice a week, and every other week
  ('active_days_28', 2, 'active days in 28', 1, 7, 2),
  -- most of what it pays for, and a third of it
  ('active_users_share', 3, 'share of seats in use', 1, 0.6, 0.3),
  -- an outcome that was repeated, and one that may have been a trial
  ('outcomes_28', 4, 'outcomes', 1, 2, 1),
  -- more than one way of working, and any
  ('features_used_28', 5, 'features used', 1, 3, 1),
  -- as before but for a fifth, and half of before
  ('trend_28', 6, 'active days over those before', 1, 0.8, 0.5),
  -- one seat in five asked for help, and every seat
  ('support_load', 7, 'requests for help a seat', -1, 0.2, 1),
  -- ranks among peers: no threshold, so that they count only once points were learned for them
  ('peer_silence', 8, 'rank of its silence among peers', -1, null, null),
  ('peer_active_days', 9, 'rank of its active days among peers', 1, null, null),
  ('peer_features', 10, 'rank of its features among peers', 1, null, null),
  ('peer_outcomes', 11, 'rank of its outcomes in 28 days among peers', 1, null, null),
  ('peer_outcomes_total', 12, 'rank of all its outcomes among peers', 1, null, null)
)

select * from final
