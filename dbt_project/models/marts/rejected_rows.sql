-- One row per row of a delivery that was rejected.
{{ config(materialized='view') }}

select * from {{ ref('stg_rejected_rows') }}
