-- One row: the run's clock and thresholds.
select * from {{ source('raw', 'run_context') }}
