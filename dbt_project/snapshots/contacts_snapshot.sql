-- One row per contact and version, by the clock of the loads.
{% snapshot contacts_snapshot %}
{{ config(
    unique_key='contact_id',
    strategy='check',
    check_cols='all',
    hard_deletes='invalidate'
) }}

select {{ delivered_columns(source('raw', 'contacts')) }} from {{ source('raw', 'contacts') }}
{% endsnapshot %}
