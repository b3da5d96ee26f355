-- One row per account that ever gave an answer that a step asked for: the last one.
with

replies as (
  select * from {{ ref('stg_ledger_replies') }}
),

placed as (
  select
    account_id,
    answer,
    replied_at,
    row_number() over (
      partition by account_id order by replied_at desc, reply_id desc
    ) as place
  from replies
  where reply_kind = 'answer' and answer is not null
),

final as (
  select
    account_id,
    answer as last_answer,
    replied_at as last_answer_at
  from placed
  where place = 1
)

select * from final
