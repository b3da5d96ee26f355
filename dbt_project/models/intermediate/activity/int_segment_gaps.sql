-- One row per segment, '' for accounts without one: the gap that is usual for its accounts. The
-- fitted one where there is one, so that a limit moves from month to month.
{{ config(materialized='view') }}

with

activity as (
  select
    segment,
    case when gaps >= {{ rhythm_gaps() }} then own_gap end as own_gap
  from {{ ref('int_account_activity') }}
),

fitted as (
  select * from {{ ref('stg_segment_gaps') }}
),

company as (
  select {{ quantile('own_gap', 0.5) }} as gap from activity
),

-- The usual account of a segment, not the usual gap: daily users have most of the gaps.
segments as (
  select
    segment,
    case when count(own_gap) >= {{ segment_accounts() }} then {{ quantile('own_gap', 0.5) }} end as gap
  from activity
  group by segment
),

final as (
  select
    segments.segment,
    coalesce(fitted.days, segments.gap, company.gap) as segment_gap
  from segments
  cross join company
  left join fitted on segments.segment = fitted.segment
)

select * from final
