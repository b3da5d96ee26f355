-- One row per measure of usage: at full_from it earns 100 points, at partial_from 60, below that 0.
with

final (measure, place, full_from, partial_from) as (
  values
  ('recency', 1, 0.5, 0),
  ('active_days', 2, 0.25, 0.07),
  ('seats', 3, 0.6, 0.3),
  ('outcomes', 4, 2, 1),
  ('features', 5, 3, 1),
  ('trend', 6, 0.8, 0.5)
)

select * from final
