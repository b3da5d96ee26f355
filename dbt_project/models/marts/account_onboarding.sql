-- One row per account as of the run: how far it is to its first outcome.
{{ config(materialized='view') }}

select * from {{ ref('int_onboarding_judged') }}
