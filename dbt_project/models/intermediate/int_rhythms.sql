-- One row per account: the gap between active days that it stays under nine times in ten.
with

accounts as (
  select * from {{ ref('dim_accounts') }}
),

silences as (
  select * from {{ ref('int_silences') }}
),

own as (
  select
    account_id,
    segment,
    count(*) as gaps,
    {{ quantile('days', 0.9) }} as own_gap
  from silences
  where has_ended
  group by account_id, segment
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

final as (
  select
    accounts.account_id,
    coalesce(own.gaps, 0) as gaps,
    own.own_gap,
    coalesce(segments.segment_gap, company.company_gap) as segment_gap
  from accounts
  cross join company
  left join own on accounts.account_id = own.account_id
  left join segments on coalesce(accounts.segment, '') = segments.segment
)

select * from final
