-- One row per column: how its values are spread over the rows of two deliveries.
with now_rows as ({now}),

before_rows as ({before}),

counted as (
    select
        (select count(*) from now_rows) as all_now,
        (select count(*) from before_rows) as all_before
),

cells as (
    select column_name, value, 1 as is_now, 0 as is_before
    from now_rows unpivot include nulls (value for column_name in (columns(*)))
    union all
    select column_name, value, 0 as is_now, 1 as is_before
    from before_rows unpivot include nulls (value for column_name in (columns(*)))
),

spread as (
    select
        column_name,
        value,
        sum(is_now)::bigint as in_now,
        sum(is_before)::bigint as in_before
    from cells
    group by column_name, value
)

select
    column_name,
    any_value(all_now) as all_now,
    any_value(all_before) as all_before,
    coalesce(sum(in_now) filter (value is not null), 0)::bigint as filled_now,
    coalesce(sum(in_before) filter (value is not null), 0)::bigint as filled_before,
    count(*) filter (value is not null and in_now > 0) as distinct_now,
    count(*) filter (value is not null and in_before > 0) as distinct_before,
    arg_max(value, (in_now, value)) filter (value is not null) as top_value,
    coalesce(max(in_now) filter (value is not null), 0) as top_now,
    coalesce(arg_max(in_before, (in_now, value)) filter (value is not null), 0) as top_before,
    coalesce(sum(in_now) filter (value is not null and in_before = 0), 0)::bigint as new_rows
from spread
cross join counted
group by column_name
order by column_name
