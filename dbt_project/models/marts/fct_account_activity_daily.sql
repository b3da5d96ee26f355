-- One row per account and local day on which it was active, up to the as-of.
{{ config(materialized='view') }}

select * from {{ ref('int_account_days_counted') }}
