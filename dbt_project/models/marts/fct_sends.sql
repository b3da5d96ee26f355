-- One row per mail that the ledger knew when the run began.
select * from {{ ref('stg_ledger_sends') }}
