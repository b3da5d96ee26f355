-- One row per trigger and version of its file that accounts have entered.
with

enrollments as (
  select * from {{ ref('stg_ledger_enrollments') }}
),

sends as (
  select * from {{ ref('fct_sends') }}
),

mails as (
  select
    trigger_name,
    trigger_version,
    count(distinct case when state in ('accepted', 'delivered') then account_id end)
      as accounts_mailed,
    count(case when state in ('accepted', 'delivered') then 1 end) as mails_accepted
  from sends
  group by trigger_name, trigger_version
),

entries as (
  select
    trigger_name,
    trigger_version,
    count(*) as enrolled,
    count(distinct account_id) as accounts_enrolled,
    count(case when ended_at is null then 1 end) as still_enrolled,
    count(case when end_reason = 'exit' then 1 end) as left_by_exit,
    min(enrolled_at) as first_enrolled_at
  from enrollments
  group by trigger_name, trigger_version
),

final as (
  select
    entries.*,
    coalesce(mails.accounts_mailed, 0) as accounts_mailed,
    coalesce(mails.mails_accepted, 0) as mails_accepted,
    -- Nobody is held out yet, so nobody knows what would have happened without the mails.
    'not enough data yet' as status
  from entries
  left join mails
    on
      entries.trigger_name = mails.trigger_name
      and entries.trigger_version = mails.trigger_version
)

select * from final
