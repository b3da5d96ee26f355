-- One row per account and what its survey answers were about, of those that are not stale.
{{ config(materialized='view') }}

select * from {{ ref('int_satisfaction_measured') }}
