-- One row per account as of the run, with its country, time zone and calendar resolved.
{{ config(materialized='view') }}

select * from {{ ref('int_accounts_located') }}
