-- One row per part of the usage feed that has a usual volume: whether it came on the last full day.
{{ config(materialized='view') }}

select * from {{ ref('int_feed_parts_judged') }}
