-- One row per role and pattern of [events] that matched events on each of ten business days, and on
-- neither of the last two.
with

days as (
  select * from {{ ref('int_company_days') }}
  where has_feed and is_business_day and days_ago between 1 and 28
),

-- 1 and 2 are the last two full business days.
numbered as (
  select
    company_day,
    row_number() over (order by days_ago) as days_back
  from days
),

names as (
  select
    numbered.days_back,
    part_days.part as event_name,
    part_days.events
  from {{ ref('int_part_days') }} as part_days
  inner join numbered on part_days.company_day = numbered.company_day
  where part_days.kind = 'event name'
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
    count(case when days_back <= 2 then 1 end) as days_now,
    count(case when days_back between 3 and 12 then 1 end) as days_before,
    min(case when days_back between 3 and 12 then events end) as fewest_before
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
  where days_now = 0 and days_before = 10 and fewest_before >= 5
)

select * from final
