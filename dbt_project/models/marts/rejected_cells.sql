-- One row per value that cannot be used in a row that can.
{{ config(materialized='view') }}

select * from {{ ref('stg_rejected_cells') }}
