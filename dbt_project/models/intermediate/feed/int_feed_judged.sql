-- One row: whether the usage feed can be trusted as of the run, and why.
with

run_context as (
  select * from {{ ref('stg_run_context') }}
),

age as (
  select * from {{ ref('int_feed_age') }}
),

volume as (
  select * from {{ ref('int_feed_volume') }}
),

meaning as (
  select * from {{ ref('int_feed_meaning') }}
),

judged as (
  select
    age.newest_event_at,
    age.age_business_hours,
    volume.last_full_day,
    volume.last_full_day_events,
    volume.usual_events,
    volume.thin_days,
    volume.thin_since,
    run_context.feed_max_age_hours,
    meaning.sudden_name,
    meaning.suddenly_active,
    case
      when age.newest_event_at is null then 'empty'
      when age.age_business_hours > run_context.feed_max_age_hours then 'old'
      when volume.last_full_day_events < run_context.feed_min_volume_share * volume.usual_events
        then 'thin'
      when meaning.sudden_name is not null then 'sudden_name'
      when meaning.suddenly_active is not null then 'suddenly_active'
      else 'fresh'
    end as verdict
  from run_context
  cross join age
  cross join volume
  cross join meaning
),

final as (
  select
    case when verdict = 'fresh' then 'fresh' else 'late' end as feed_status,
    case verdict
      when 'empty' then 'no usage event has come yet'
      when 'thin'
        then
          'only ' || {{ counted('last_full_day_events', 'event') }} || ' on '
          || {{ as_text('last_full_day') }} || '; the same weekday usually has '
          || {{ as_text('cast(' ~ rounded('usual_events') ~ ' as bigint)') }}
      when 'sudden_name'
        then
          'most of the events on ' || {{ as_text('last_full_day') }} || ' are ' || sudden_name
          || ', which was a small part of them before'
      when 'suddenly_active'
        then
          {{ counted('suddenly_active', 'account') }} || ' were active on '
          || {{ as_text('last_full_day') }}
          || ', nearly all, as never before: a test or a bot may log in everywhere'
      else
        'the newest event is ' || {{ hours('age_business_hours') }}
        || ' business hours old; ' || {{ hours('feed_max_age_hours') }}
        || ' are allowed'
    end as reason,
    newest_event_at,
    age_business_hours,
    last_full_day,
    last_full_day_events,
    usual_events,
    thin_days,
    thin_since
  from judged
)

select * from final
