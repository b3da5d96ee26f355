-- One row per time zone, UTC year and span of that year with one offset.
select * from {{ source('context', 'zone_offsets') }}
