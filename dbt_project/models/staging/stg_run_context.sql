-- One row: the run's clock and thresholds.
select * from {{ source('context', 'run') }}
