-- One row per country and day of the week on which people rest there.
select * from {{ source('context', 'weekends') }}
