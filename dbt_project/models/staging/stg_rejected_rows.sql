-- One row per row of a delivery that was rejected.
select
  table_name,
  file,
  row_number,
  column_name,
  value,
  reason,
  record,
  key,
  loaded_at
from {{ source('raw', 'rejected_rows') }}
