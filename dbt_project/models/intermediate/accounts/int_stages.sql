-- One row per account as of the run: its lifecycle stage.
with

accounts as (
  select * from {{ ref('int_accounts_located') }}
),

onboarding as (
  select * from {{ ref('int_onboarding_judged') }}
),

ladder as (
  select * from {{ ref('int_ladder_climbed') }}
),

final as (
  select
    accounts.account_id,
    case
      when accounts.is_churned then 'churned'
      when accounts.days_to_renewal between 0 and run_context.renewal_days then 'renewal'
      when onboarding.onboarding_status is null then null
      -- The status of an account that went live before the feed began is open for longer.
      when
        onboarding.onboarding_status in ('not_started', 'on_track', 'at_risk')
        and (
          accounts.went_live_on is null
          or accounts.as_of_day <= {{ dbt.dateadd(
            'month', 'run_context.onboarding_months', 'accounts.went_live_on'
          ) }}
        )
        then 'onboarding'
      when ladder.ladder_step < run_context.mature_from_step then 'adoption'
      else 'mature'
    end as stage
  from accounts
  cross join {{ ref('stg_run_context') }} as run_context
  inner join onboarding on accounts.account_id = onboarding.account_id
  inner join ladder on accounts.account_id = ladder.account_id
)

select * from final
