-- One row per account and company-local day of a run: what was known about it then, for ever.
-- A rerun of a day replaces that day and no other.
{{ config(materialized='view') }}

select * from {{ ref('int_health_days_kept') }}
