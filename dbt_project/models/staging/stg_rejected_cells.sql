-- One row per value that cannot be used in a row that can.
select
  table_name,
  file,
  row_number,
  column_name,
  value,
  reason,
  key,
  loaded_at
from {{ source('raw', 'rejected_cells') }}
