-- One row per business day of the last four weeks on which there was a usage feed.
{{ config(materialized='view') }}

with

final as (
  select
    company_day,
    row_number() over (order by days_ago) as days_back
  from {{ ref('int_company_days') }}
  where has_feed and is_business_day and days_ago between 1 and {{ recent_days() }}
)

select * from final
