-- One row per answer that a person gave to a mail.
with

replies as (
  select * from {{ ref('stg_ledger_replies') }}
),

sends as (
  select * from {{ ref('fct_sends') }}
),

final as (
  select
    replies.reply_id,
    replies.replied_at,
    replies.send_id,
    replies.account_id,
    replies.contact_id,
    replies.trigger_name,
    replies.step,
    replies.cycle,
    replies.answer,
    {{ dbt.datediff('sends.accepted_at', 'replies.replied_at', 'minute') }} as minutes_to_reply,
    replies.settled_at
  from replies
  left join sends on replies.send_id = sends.send_id
  where replies.reply_kind = 'answer'
)

select * from final
