-- One row per segment and days of silence: how often such a silence ended within 28 more days; the
-- segment without a name is all accounts together, as it is for fitted parameters.
-- None where parameters of the chance of return were fitted, which take its place.
with

accounts as (
  select
    account_id,
    as_of_day,
    coalesce(segment, '') as segment
  from {{ ref('int_accounts_located') }}
),

silences as (
  select
    accounts.segment,
    silences.has_ended,
    coalesce(
      silences.days, {{ dbt.datediff('silences.active_on', 'accounts.as_of_day', 'day') }}
    ) as days
  from {{ ref('int_silences') }} as silences
  inner join accounts on silences.account_id = accounts.account_id
  where
    silences.is_of_last_year
    and {{ 'false' if has_rows(ref('stg_return_parameters')) else 'true' }}
),

segment_lengths as (
  select
    segment,
    days,
    count(case when has_ended then 1 end) as ended,
    count(*) as silences
  from silences
  group by segment, days
),

lengths as (
  select * from segment_lengths
  where segment <> ''
  union all
  select
    '' as segment,
    days,
    sum(ended) as ended,
    sum(silences) as silences
  from segment_lengths
  group by days
),

days as (
  select generated_number - 1 as days
  from ({{ dbt.generate_series(rhythm_days() | int + recent_days() | int + 1) }}) as series
),

segment_days as (
  select
    segments.segment,
    days.days
  from (select distinct segment from lengths) as segments
  cross join days
),

-- Of the silences that lasted at least so many days, the share that ended on that day.
life_table as (
  select
    segment_days.segment,
    segment_days.days,
    coalesce(lengths.ended, 0) as ended,
    sum(coalesce(lengths.silences, 0)) over (
      partition by segment_days.segment order by segment_days.days desc
    ) as lasted
  from segment_days
  left join lengths
    on segment_days.segment = lengths.segment and segment_days.days = lengths.days
),

final as (
  select
    segment,
    days,
    lasted,
    1 - exp(sum(ln(greatest(1 - ended * 1.0 / greatest(lasted, 1), 1e-9))) over (
      partition by segment order by days rows between 1 following and {{ recent_days() }} following
    )) as p_return_28d
  from life_table
)

select * from final
