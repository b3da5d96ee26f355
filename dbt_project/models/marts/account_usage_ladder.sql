-- One row per account as of the run: the highest step it has reached, when it reached each, and
-- where it stands now.
{{ config(materialized='view') }}

select * from {{ ref('int_ladder_climbed') }}
