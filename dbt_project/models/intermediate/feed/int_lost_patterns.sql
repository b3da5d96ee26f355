-- One row per role and pattern of [events] that matched events on each of ten business days, and on
-- neither of the last two.
{# Lost in two business days, after ten with a handful of events each. #}
{% set days_lost, days_seen, enough_events = 2, 10, 5 %}
{% set seen %}days_back between {{ days_lost + 1 }} and {{ days_lost + days_seen }}{% endset %}

with

names as (
  select * from {{ ref('int_recent_event_names') }}
),

pattern_days as (
  select
    event_roles.role,
    event_roles.like_pattern,
    names.days_back,
    sum(names.events) as events
  from {{ ref('stg_event_roles') }} as event_roles
  inner join names on names.event_name like event_roles.like_pattern escape '!'
  where event_roles.role <> 'support'
  group by event_roles.role, event_roles.like_pattern, names.days_back
),

patterns as (
  select
    role,
    like_pattern,
    count(case when days_back <= {{ days_lost }} then 1 end) as days_now,
    count(case when {{ seen }} then 1 end) as days_before,
    min(case when {{ seen }} then events end) as fewest_before
  from pattern_days
  group by role, like_pattern
),

final as (
  select
    role,
    like_pattern,
    'no event of the last two business days matches the pattern ' || role || ' '
    || replace(replace(like_pattern, '!', ''), '%', '*') || ', as on each of the ten before'
      as reason
  from patterns
  where days_now = 0 and days_before = {{ days_seen }} and fewest_before >= {{ enough_events }}
)

select * from final
