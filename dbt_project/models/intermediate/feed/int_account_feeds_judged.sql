-- One row per account as of the run: whether the part of the usage feed that it lives on can be
-- trusted, and why not. While the whole feed is late, every account's is. A pattern of core events or
-- outcomes that is lost makes unknown what hangs on these, and nothing else.
with

run_context as (
  select * from {{ ref('stg_run_context') }}
),

accounts as (
  select * from {{ ref('int_accounts_located') }}
),

feed_health as (
  select * from {{ ref('int_feed_judged') }}
),

late_parts as (
  select
    *,
    'only ' || {{ counted('last_full_day_events', 'event') }} || ' of the ' || kind || ' ' || part
    || ' on ' || {{ as_text('last_full_day') }} || '; the same weekday usually has '
    || {{ as_text('cast(' ~ rounded('usual_events') ~ ' as bigint)') }} as reason
  from {{ ref('int_feed_parts_judged') }}
  where feed_status = 'late'
),

lost_patterns as (
  select * from {{ ref('int_lost_patterns') }}
),

-- Names of which too little came, or nothing since their pattern of activity is lost.
late_names as (
  select
    part as event_name,
    reason
  from late_parts
  where kind = 'event name'
  union all
  select
    part_days.part as event_name,
    lost_patterns.reason
  from {{ ref('int_part_days') }} as part_days
  inner join lost_patterns
    on
      lost_patterns.role = 'activity'
      and part_days.part like lost_patterns.like_pattern escape '!'
  where part_days.kind = 'event name'
),

names as (
  select
    event_name,
    max(reason) as reason
  from late_names
  group by event_name
),

milestones as (
  select min(reason) as unknown_because
  from lost_patterns
  where role in ('core', 'outcome')
),

-- Whoever had most of its events of four weeks from a stream, or of a name, lives on it.
recent as (
  select
    usage_events.account_id,
    usage_events.event_name,
    translate(usage_events.file, '0123456789', '') as stream
  from {{ ref('stg_usage_events') }} as usage_events
  cross join run_context
  where
    usage_events.occurred_at > {{ dbt.dateadd('day', '-' ~ recent_days(), 'run_context.as_of') }}
    and (
      exists (
        select 1
        from late_parts
        where late_parts.kind = 'stream'
      )
      or exists (select 1 from names)
    )
),

shares as (
  select
    recent.account_id,
    max(case when streams.part is not null then streams.reason end) as stream_reason,
    max(names.reason) as name_reason,
    count(*) as events,
    count(streams.part) as stream_events,
    count(names.event_name) as name_events
  from recent
  left join late_parts as streams on streams.kind = 'stream' and recent.stream = streams.part
  left join names on recent.event_name = names.event_name
  group by recent.account_id
),

judged as (
  select
    accounts.account_id,
    milestones.unknown_because as milestones_unknown_because,
    case
      when feed_health.feed_status = 'late' then feed_health.reason
      when shares.stream_events > 0.5 * shares.events then shares.stream_reason
      when segments.reason is not null then segments.reason
      when countries.reason is not null then countries.reason
      when shares.name_events > 0.5 * shares.events then shares.name_reason
      when ended.account_id is not null
        then
          'the activity of ' || {{ counted('ended.accounts', 'account') }} || ' of the '
          || ended.kind || ' ' || ended.part || ' ended on ' || {{ as_text('ended.ended_on') }}
    end as reason
  from accounts
  cross join feed_health
  cross join milestones
  left join shares on accounts.account_id = shares.account_id
  left join late_parts as segments
    on segments.kind = 'segment' and accounts.segment = segments.part
  left join late_parts as countries
    on countries.kind = 'country' and accounts.country_code = countries.part
  left join {{ ref('int_ended_groups') }} as ended on accounts.account_id = ended.account_id
),

final as (
  select
    account_id,
    case when reason is null then 'fresh' else 'late' end as feed_status,
    reason,
    milestones_unknown_because
  from judged
)

select * from final
