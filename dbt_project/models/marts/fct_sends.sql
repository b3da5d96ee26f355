-- One row per mail to a customer that the ledger knew when the run began.
select * from {{ ref('stg_ledger_sends') }}
