-- One row per account whose activity ended on the day on which that of its whole group did: many
-- accounts of one stream, segment or country that have a rhythm of their own, and broke it together.
{% set groups = {'stream': 'stream', 'segment': 'segment', 'country': 'country_code'} -%}

with

run_context as (
  select * from {{ ref('stg_run_context') }}
),

-- The stream that an account's last event of three months came by.
streams as (
  select
    usage_events.account_id,
    translate(usage_events.file, '0123456789', '') as stream,
    max(usage_events.occurred_at) as last_at
  from {{ ref('stg_usage_events') }} as usage_events
  cross join run_context
  where usage_events.occurred_at > {{ dbt.dateadd('day', -91, 'run_context.as_of') }}
  group by usage_events.account_id, translate(usage_events.file, '0123456789', '')
),

last_streams as (
  select
    account_id,
    stream,
    row_number() over (partition by account_id order by last_at desc, stream asc) as nth
  from streams
),

accounts as (
  select
    dim_accounts.*,
    last_streams.stream
  from {{ ref('int_accounts_located') }} as dim_accounts
  left join last_streams
    on dim_accounts.account_id = last_streams.account_id and last_streams.nth = 1
  where not dim_accounts.is_churned
),

-- Who ended where a person says that less is normal since ended for good.
silent as (
  select
    accounts.account_id,
    accounts.stream,
    accounts.segment,
    accounts.country_code,
    activity.last_active_on,
    activity.gaps >= 5 and activity.days_silent > activity.own_gap as is_overdue
  from accounts
  inner join {{ ref('int_account_activity') }} as activity
    on accounts.account_id = activity.account_id
  left join {{ ref('stg_feed_changes') }} as changes
    on
      activity.last_active_on < changes.since
      and changes.part in (
        'all'
        {%- for kind, column in groups.items() %}, '{{ kind }} ' || accounts.{{ column }}
        {%- endfor %}
      )
  where activity.days_silent > 2 and changes.part is null
),

{% for kind, column in groups.items() -%}
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
    coalesce(stream_ends.kind, segment_ends.kind, country_ends.kind) as kind,
    coalesce(stream_ends.part, segment_ends.part, country_ends.part) as part,
    silent.last_active_on as ended_on,
    coalesce(stream_ends.accounts, segment_ends.accounts, country_ends.accounts) as accounts
  from silent
  {% for kind, column in groups.items() -%}
  left join {{ kind }}_ends
    on
      silent.{{ column }} = {{ kind }}_ends.part
      and silent.last_active_on = {{ kind }}_ends.last_active_on
  {% endfor -%}
  where coalesce(stream_ends.part, segment_ends.part, country_ends.part) is not null
)

select * from final
