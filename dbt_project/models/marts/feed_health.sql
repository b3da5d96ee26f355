-- One row: whether the usage feed can be trusted as of the run, and why.
{{ config(materialized='view') }}

select * from {{ ref('int_feed_judged') }}
