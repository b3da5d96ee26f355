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
    min(enrolled_at) as first_enrolled_at,
    count(case when held_out then 1 end) as entries_held_out
  from enrollments
  group by trigger_name, trigger_version
),

-- An account that enters again is no new evidence: its first entry into a version counts.
firsts as (
  select
    enrollments.*,
    enrollments.goal_until < run_context.as_of as is_over,
    row_number() over (
      partition by enrollments.trigger_name, enrollments.trigger_version, enrollments.account_id
      order by enrollments.cycle
    ) as entry_number,
    run_context.as_of
  from enrollments
  cross join {{ ref('stg_run_context') }} as run_context
  where enrollments.goal_until is not null
),

-- By intention to treat: whoever entered counts in its group, mailed in fact or not. Those who
-- still have time to meet the goal would bend the comparison.
outcomes as (
  select
    trigger_name,
    trigger_version,
    count(case when is_over and not held_out then 1 end) as reached,
    count(case when is_over and held_out then 1 end) as compared_with,
    count(case when is_over and not held_out then goal_met_at end) as goals_reached,
    count(case when is_over and held_out then goal_met_at end) as goals_held_out,
    count(case when not is_over then 1 end) as still_in_time,
    count(
      case when enrolled_at > {{ dbt.dateadd('day', '-' ~ recent_days(), 'as_of') }} then 1 end
    ) as new_in_28d,
    max(goal_until) as last_goal_until
  from firsts
  where entry_number = 1
  group by trigger_name, trigger_version
),

bounds as (
  select
    *,
    goals_reached / nullif(cast(reached as {{ type_double() }}), 0) as share_reached,
    goals_held_out / nullif(cast(compared_with as {{ type_double() }}), 0) as share_held_out,
    {{ wilson('goals_reached', 'reached', '-') }} as low_reached,
    {{ wilson('goals_reached', 'reached', '+') }} as high_reached,
    {{ wilson('goals_held_out', 'compared_with', '-') }} as low_held_out,
    {{ wilson('goals_held_out', 'compared_with', '+') }} as high_held_out
  from outcomes
),

shares as (
  select
    *,
    share_reached - share_held_out as effect,
    sqrt(power(share_reached - low_reached, 2) + power(high_held_out - share_held_out, 2)) as below,
    sqrt(power(high_reached - share_reached, 2) + power(share_held_out - low_held_out, 2)) as above
  from bounds
),

final as (
  select
    entries.*,
    coalesce(mails.accounts_mailed, 0) as accounts_mailed,
    coalesce(mails.mails_accepted, 0) as mails_accepted,
    coalesce(shares.reached, 0) as reached,
    coalesce(shares.compared_with, 0) as compared_with,
    coalesce(shares.goals_reached, 0) as goals_reached,
    coalesce(shares.goals_held_out, 0) as goals_held_out,
    coalesce(shares.still_in_time, 0) as still_in_time,
    coalesce(shares.new_in_28d, 0) as new_in_28d,
    shares.last_goal_until,
    -- Rounded, so that every engine tells the same.
    {{ rounded('shares.effect', 6) }} as effect,
    {{ rounded('shares.effect - shares.below', 6) }} as effect_low,
    {{ rounded('shares.effect + shares.above', 6) }} as effect_high,
    case
      when least(shares.reached, shares.compared_with) >= {{ compared_accounts() }} then 'measured'
      else 'not enough data yet'
    end as status
  from entries
  left join mails
    on
      entries.trigger_name = mails.trigger_name
      and entries.trigger_version = mails.trigger_version
  left join shares
    on
      entries.trigger_name = shares.trigger_name
      and entries.trigger_version = shares.trigger_version
)

select * from final
