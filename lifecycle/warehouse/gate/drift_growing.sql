-- One row per value of each part of a growing table: its rows of the four weeks before the last
-- published load (also those that were replaced since), those that came since, those of the last
-- whole day, and how many are usual on that weekday.
with events as (
    select
        {parts},
        events.{happened_at}::date as day,
        events._loaded_at > $since as is_new,
        events.is_replaced,
        count(*) as events
    from ({rows}) as events
    left join raw.accounts as accounts using (account_id)
    where events.{happened_at} >= $now::date - {days} - 1
    group by all
),

parts as (
    select part_name, part, day, is_new, is_replaced, events
    from (select * replace ({texts}) from events)
    unpivot (part for part_name in ({names}))
),

clock as (select $now::date - 1 as last_day),

weeks as (
    select count(distinct day) as weeks
    from events
    cross join clock
    where not is_replaced and day < last_day and (last_day - day) % 7 = 0
)

select
    part_name,
    part,
    coalesce(sum(events) filter (not is_new), 0)::bigint as rows_before,
    coalesce(sum(events) filter (is_new and not is_replaced), 0)::bigint as rows_new,
    coalesce(sum(events) filter (not is_replaced and day = last_day), 0)::bigint as rows_of_day,
    coalesce(sum(events) filter (
        not is_replaced and day < last_day and (last_day - day) % 7 = 0
    ), 0)::double
        / greatest(any_value(weeks), 1) as rows_usual
from parts
cross join clock
cross join weeks
group by part_name, part
order by part_name, part
