-- One row per account and version, by the clock of the loads.
{% snapshot accounts_snapshot %}
{{ config(
    unique_key='account_id',
    strategy='check',
    check_cols='all',
    hard_deletes='invalidate'
) }}

select {{ delivered_columns(source('raw', 'accounts')) }} from {{ source('raw', 'accounts') }}
{% endsnapshot %}
