-- One row per account as of the run: the highest step it has reached, when it reached each, and
-- where it stands now.
with

accounts as (
  select * from {{ ref('int_accounts_located') }}
),

milestones as (
  select * from {{ ref('int_account_milestones') }}
),

account_feed as (
  select * from {{ ref('int_account_feeds_judged') }}
),

outcome_days as (
  select
    account_id,
    cast({{ dbt.date_trunc('month', 'activity_date') }} as date) as outcome_month,
    first_outcome_at
  from {{ ref('int_life_days') }}
  where outcome_events > 0
),

outcome_months as (
  select
    account_id,
    outcome_month,
    min(first_outcome_at) as first_outcome_at
  from outcome_days
  group by account_id, outcome_month
),

-- The first outcome in a month that follows a month with one.
habit as (
  select
    later.account_id,
    min(later.first_outcome_at) as reached_at,
    max(later.outcome_month) as last_shown_on
  from outcome_months as later
  inner join outcome_months as earlier
    on
      later.account_id = earlier.account_id
      and later.outcome_month = {{ dbt.dateadd('month', 1, 'earlier.outcome_month') }}
  group by later.account_id
),

climbed as (
  select
    accounts.account_id,
    coalesce(watched.is_unwatched, false) as is_unwatched,
    case
      when habit.reached_at is not null then 4
      when milestones.first_outcome_at is not null then 3
      when milestones.first_core_at is not null then 2
      when milestones.first_active_at is not null then 1
      else 0
    end as ladder_step,
    milestones.first_active_at as step_1_at,
    milestones.first_core_at as step_2_at,
    milestones.first_outcome_at as step_3_at,
    habit.reached_at as step_4_at,
    accounts.as_of_day,
    {{ stands_until('habit.last_shown_on') }} as step_4_until,
    {{ stands_until('milestones.last_outcome_on') }} as step_3_until,
    {{ stands_until('milestones.last_core_on') }} as step_2_until,
    {{ stands_until('milestones.last_active_on') }} as step_1_until
  from accounts
  left join milestones on accounts.account_id = milestones.account_id
  left join habit on accounts.account_id = habit.account_id
  left join {{ ref('int_watched_days') }} as watched on accounts.account_id = watched.account_id
),

standing as (
  select
    *,
    case
      when step_4_until > as_of_day then 4
      when step_3_until > as_of_day then 3
      when step_2_until > as_of_day then 2
      when step_1_until > as_of_day then 1
      else 0
    end as current_step,
    case ladder_step
      when 4 then step_4_until
      when 3 then step_3_until
      when 2 then step_2_until
      when 1 then step_1_until
    end as highest_until
  from climbed
),

final as (
  select
    accounts.account_id,
    {{ when_milestones_known('cast(standing.ladder_step as bigint)') }} as ladder_step,
    {{ when_fresh('standing.step_1_at') }} as step_1_at,
    {{ when_milestones_known('standing.step_2_at') }} as step_2_at,
    {{ when_milestones_known('standing.step_3_at') }} as step_3_at,
    {{ when_milestones_known('standing.step_4_at') }} as step_4_at,
    {{ when_milestones_known('cast(standing.current_step as bigint)') }} as current_step,
    {{ when_milestones_known('case when current_step < ladder_step then highest_until end') }} as regressed_on
  from accounts
  left join standing on accounts.account_id = standing.account_id and not standing.is_unwatched
  inner join account_feed on accounts.account_id = account_feed.account_id
)

select * from final
