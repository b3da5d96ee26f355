-- One row per account as of the run: whether the part of the usage feed that it lives on can be
-- trusted, and why not. While the whole feed is late, every account's is.
{{ config(materialized='view') }}

select * from {{ ref('int_account_feeds_judged') }}
