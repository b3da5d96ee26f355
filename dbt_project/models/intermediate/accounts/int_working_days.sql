-- One row per country of an account and day of the last 400: how many working days there were since.
with

run_context as (
  select * from {{ ref('stg_run_context') }}
),

countries as (
  select distinct coalesce(accounts.country_code, run_context.company_country) as country_code
  from {{ ref('int_accounts_located') }} as accounts
  cross join run_context
),

series as (
  {{ dbt.generate_series(400) }}
),

-- Where it is tomorrow already, today is the day after the as-of's in UTC.
days as (
  select
    countries.country_code,
    cast({{ dbt.dateadd('day', '2 - series.generated_number', 'run_context.as_of') }} as date)
      as calendar_day
  from run_context
  cross join series
  cross join countries
),

working as (
  select
    days.country_code,
    days.calendar_day,
    case
      when weekends.iso_weekday is null and holidays.holiday is null then 1
      else 0
    end as is_working_day
  from days
  left join {{ ref('stg_holidays') }} as holidays
    on days.country_code = holidays.country_code and days.calendar_day = holidays.holiday
  left join {{ ref('stg_weekends') }} as weekends
    on
      days.country_code = weekends.country_code
      and {{ iso_weekday('days.calendar_day') }} = weekends.iso_weekday
),

final as (
  select
    country_code,
    calendar_day,
    cast(sum(is_working_day) over (
      partition by country_code order by calendar_day
    ) as bigint) as working_days
  from working
)

select * from final
