-- One row per account: the gap between active days that it stays under nine times in ten. The
-- segment's is the fitted one where there is one, so that a limit moves from month to month.
{{ config(materialized='view') }}

with

accounts as (
  select * from {{ ref('dim_accounts') }}
),

silences as (
  select * from {{ ref('int_silences') }}
),

own_gaps as (
  select
    account_id,
    count(*) as gaps,
    {{ quantile('days', 0.9) }} as own_gap
  from silences
  where has_ended
  group by account_id
),

own as (
  select
    accounts.account_id,
    coalesce(accounts.segment, '') as segment,
    coalesce(own_gaps.gaps, 0) as gaps,
    own_gaps.own_gap
  from accounts
  left join own_gaps on accounts.account_id = own_gaps.account_id
),

-- The usual account of a segment, not the usual gap: daily users have most of the gaps.
segments as (
  select
    segment,
    {{ quantile('own_gap', 0.5) }} as segment_gap
  from own
  where gaps >= 3
  group by segment
  having count(*) >= 10
),

company as (
  select {{ quantile('own_gap', 0.5) }} as company_gap
  from own
  where gaps >= 3
),

fitted as (
  select * from {{ ref('stg_segment_gaps') }}
),

gaps as (
  select
    own.account_id,
    own.gaps,
    own.own_gap,
    coalesce(fitted.days, segments.segment_gap, company.company_gap) as segment_gap
  from own
  cross join company
  left join segments on own.segment = segments.segment
  left join fitted on own.segment = fitted.segment
),

-- The fewer gaps an account has, the more it borrows from its segment: the weight of five gaps.
final as (
  select
    account_id,
    gaps,
    own_gap,
    segment_gap,
    case
      when gaps >= 3 then exp((gaps * ln(own_gap) + 5 * ln(segment_gap)) / (gaps + 5))
      else segment_gap
    end as usual_gap
  from gaps
)

select * from final
