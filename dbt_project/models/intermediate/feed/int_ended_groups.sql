-- One row per account whose activity ended on the day on which that of its whole group did: many
-- accounts of one segment or country that have a rhythm of their own, and broke it together.
with

run_context as (
  select * from {{ ref('stg_run_context') }}
),

accounts as (
  select * from {{ ref('int_accounts_located') }}
  where not is_churned
),

silent as (
  select
    accounts.account_id,
    accounts.segment,
    accounts.country_code,
    activity.last_active_on,
    activity.gaps >= 5 and activity.days_silent > activity.own_gap as is_overdue
  from accounts
  inner join {{ ref('int_account_activity') }} as activity
    on accounts.account_id = activity.account_id
  where activity.days_silent > 2
),

{% for kind, column in {'segment': 'segment', 'country': 'country_code'}.items() -%}
{{ kind }}_sizes as (
  select
    {{ column }} as part,
    count(*) as accounts
  from accounts
  where days_since_go_live is not null
  group by {{ column }}
),

{{ kind }}_ends as (
  select
    '{{ kind }}' as kind,
    silent.{{ column }} as part,
    silent.last_active_on,
    count(*) as accounts
  from silent
  inner join {{ kind }}_sizes as sizes on silent.{{ column }} = sizes.part
  cross join run_context
  where silent.is_overdue
  group by silent.{{ column }}, silent.last_active_on
  having
    count(*) >= max(run_context.feed_group_accounts)
    and count(*) >= max(run_context.feed_group_share * sizes.accounts)
),

{% endfor -%}
final as (
  select
    silent.account_id,
    coalesce(segment_ends.kind, country_ends.kind) as kind,
    coalesce(segment_ends.part, country_ends.part) as part,
    silent.last_active_on as ended_on,
    coalesce(segment_ends.accounts, country_ends.accounts) as accounts
  from silent
  left join segment_ends
    on
      silent.segment = segment_ends.part
      and silent.last_active_on = segment_ends.last_active_on
  left join country_ends
    on
      silent.country_code = country_ends.part
      and silent.last_active_on = country_ends.last_active_on
  where coalesce(segment_ends.part, country_ends.part) is not null
)

select * from final
