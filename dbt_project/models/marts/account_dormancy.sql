-- One row per account as of the run: how long it has been silent, and how long is normal for it.
{{ config(materialized='view') }}

select * from {{ ref('int_dormancy_judged') }}
