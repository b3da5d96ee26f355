"""Corruptions of a table: by name the changes (SQL over the good rows `t`), what the run has to
say, and whether it stops."""

from __future__ import annotations

Corruption = tuple[dict[str, str], list[str], bool]

LAST_DAYS = "occurred_at >= timestamp '2026-06-09'"


def _contacts(change: str, *words: str, stops: bool = True) -> Corruption:
    return {"contacts": change}, list(words), stops


def _accounts(change: str, *words: str, stops: bool = True) -> Corruption:
    return {"accounts": change}, list(words), stops


def _events(change: str, *words: str, stops: bool = True) -> Corruption:
    return {"usage_events": change}, list(words), stops


def _set(column: str, value: str) -> str:
    return f"select * replace ({value} as {column}) from t"


BROKEN_TABLES: dict[str, Corruption] = {
    # Columns that are gone, or called otherwise.
    "unsubscribed_at is called otherwise": _contacts(
        "select * rename (unsubscribed_at as opted_out_at) from t",
        "unsubscribed_at", "opted_out_at",
    ),
    "unsubscribed_at is gone": _contacts(
        "select * exclude (unsubscribed_at) from t", "unsubscribed_at", "is gone"
    ),
    "consent_basis is gone": _contacts("select * exclude (consent_basis) from t", "consent_basis"),
    "consented_at is gone": _contacts("select * exclude (consented_at) from t", "consented_at"),
    "role is gone": _contacts("select * exclude (role) from t", "role", "is gone"),
    "names of people are gone": _contacts("select * exclude (name) from t", "raw.contacts.name"),
    "addresses are gone": _contacts("select * exclude (email) from t", "contacts.csv", "email"),
    "account ids of contacts are gone": _contacts(
        "select * exclude (account_id) from t", "contacts.csv", "account_id"
    ),
    "churned_at is gone": _accounts("select * exclude (churned_at) from t", "churned_at"),
    "touch_model is called otherwise": _accounts(
        "select * rename (touch_model as touch) from t", "touch_model"
    ),
    "went_live_at is gone": _accounts("select * exclude (went_live_at) from t", "went_live_at"),
    "time zones are gone": _accounts("select * exclude (time_zone) from t", "time_zone"),
    "names of accounts are gone": _accounts("select * exclude (name) from t", "accounts.csv"),
    # Values that are empty now.
    "nobody left": _contacts(_set("unsubscribed_at", "null"), "unsubscribed_at", "24 of 24"),
    "22 of 24 departures are blank": _contacts(
        _set("unsubscribed_at", "case when contact_id in ('C005', 'C010')"
             " then unsubscribed_at end"),
        "22 of 24",
    ),
    "one departure is blank": _contacts(
        _set("unsubscribed_at", "case when contact_id <> 'C005' then unsubscribed_at end"),
        "1 of 24",
    ),
    "consent is blank": _contacts(_set("consent_basis", "null"), "consent_basis"),
    "roles are blank": _contacts(_set("role", "null"), "raw.contacts.role"),
    "half of the names are blank": _contacts(
        _set("name", "case when contact_id < 'C060' then name end"), "raw.contacts.name"
    ),
    "half of the addresses are blank": _contacts(
        _set("email", "case when contact_id < 'C060' then email end"), "contacts.csv", "email"
    ),
    "nobody churned": _accounts(_set("churned_at", "null"), "churned_at", "10 of 10"),
    "churn dates of four are blank": _accounts(
        _set("churned_at", "case when account_id not in ('A051', 'A052', 'A053', 'A054')"
             " then churned_at end"),
        "churned_at", "4 of 10",
    ),
    "touch models are blank": _accounts(_set("touch_model", "null"), "touch_model"),
    "went_live_at is blank": _accounts(_set("went_live_at", "null"), "went_live_at"),
    "countries and zones are blank": _accounts(
        "select * replace (null as country, null as time_zone) from t", "country"
    ),
    # Values that are others now.
    "all churned": _accounts(_set("churned_at", "timestamp '2026-06-10'"), "churned_at"),
    "a third churned": _accounts(
        _set("churned_at", "case when hash(account_id) % 3 = 0 or churned_at is not null"
             " then timestamp '2026-06-10' end"),
        "churned_at",
    ),
    "everybody left": _contacts(
        _set("unsubscribed_at", "timestamp '2026-06-10'"), "unsubscribed_at"
    ),
    "all high touch is tech": _accounts(_set("touch_model", "'tech'"), "touch_model"),
    "all tech is high touch": _accounts(_set("touch_model", "'high'"), "touch_model"),
    "touch models in words that are none": _accounts(
        _set("touch_model", "case touch_model when 'high' then 'Tier 1' else 'Tier 2' end"),
        "touch_model",
    ),
    "all were created today": _accounts(_set("created_at", "timestamp '2026-06-10'"), "created_at"),
    "all went live today": _accounts(
        _set("went_live_at", "timestamp '2026-06-10'"), "went_live_at"
    ),
    "days and months are exchanged": _accounts(
        _set("created_at", "make_timestamp(year(created_at), least(day(created_at), 12),"
             " least(month(created_at), 28), 0, 0, 0)"),
        "created_at",
    ),
    "all are in one country": _accounts(
        "select * replace ('US' as country, 'America/New_York' as time_zone) from t", "country"
    ),
    "all are of one segment": _accounts(_set("segment", "'smb'"), "segment"),
    "one name for all accounts": _accounts(_set("name", "'Test Company'"), "raw.accounts.name"),
    "one address for all": _contacts(
        _set("email", "'info@firm.example.com'"), "raw.contacts.email"
    ),
    "five contacts get one address": _contacts(
        _set("email", "case when contact_id < 'C010' then 'info@firm.example.com' else email end"),
        "raw.contacts.email",
    ),
    "consent refused by half": _contacts(
        _set("consent_basis", "case when contact_id < 'C060' then 'No' else consent_basis end"),
        "consent_basis",
    ),
    "consent in a word of another system": _contacts(
        _set("consent_basis", "'lb_17'"), "consent_basis"
    ),
    "all roles are admin": _contacts(_set("role", "'admin'"), "raw.contacts.role"),
    "roles are exchanged": _contacts(
        _set("role", "case role when 'admin' then 'member' else 'admin' end"), "raw.contacts.role"
    ),
    # Rows and keys.
    "addresses shuffled between contacts": _contacts(
        "select t.* replace (o.email as email) from t join all_contacts as o on o.contact_id ="
        " 'C' || lpad((1 + (substr(t.contact_id, 2)::int + 6) % 120)::varchar, 3, '0')",
        "raw.contacts.email", "shuffled",
    ),
    "names shuffled between contacts": _contacts(
        "select t.* replace (o.name as name) from t join all_contacts as o on o.contact_id ="
        " 'C' || lpad((1 + (substr(t.contact_id, 2)::int + 6) % 120)::varchar, 3, '0')",
        "raw.contacts.name",
    ),
    "accounts shuffled between contacts": _contacts(
        _set("account_id", "'A' || lpad((1 + (substr(account_id, 2)::int + 6) % 60)::varchar,"
             " 3, '0')"),
        "raw.contacts.account_id",
    ),
    "names shuffled between accounts": _accounts(
        "select t.* replace (o.name as name) from t join all_accounts as o on o.account_id ="
        " 'A' || lpad((1 + (substr(t.account_id, 2)::int + 6) % 60)::varchar, 3, '0')",
        "raw.accounts.name",
    ),
    "contacts cut to a tenth": _contacts("from t order by contact_id limit 12", "108 of 120"),
    "a tenth of the contacts is gone": _contacts(
        "from t where hash(contact_id) % 10 > 0", "contacts vanished"
    ),
    "accounts cut to half": _accounts(
        "from t where account_id < 'A031'", "accounts vanished"
    ),
    "every contact twice under a new id": _contacts(
        "from t union all by name select * replace ('N' || contact_id as contact_id) from t",
        "raw.contacts",
    ),
    "every contact has a new id": _contacts(
        _set("contact_id", "'N' || contact_id"), "contacts vanished"
    ),
    "every account has a new id": (
        {
            "accounts": _set("account_id", "'N' || account_id"),
            "contacts": _set("account_id", "'N' || account_id"),
            "usage_events": _set("account_id", "'N' || account_id"),
        },
        ["accounts vanished", "the ids may have been given anew"],
        True,
    ),
    "no account": _accounts("from t where false", "raw.accounts"),
    "no contact": _contacts("from t where false", "raw.contacts"),
    # Events.
    "all events have other names": _events(
        "select * replace ('app.' || event_name as event_name, 'x' || event_id as event_id) from t",
        "event_name",
    ),
    "the names of new events are others": _events(
        _set("event_name", f"case when {LAST_DAYS} then 'app.' || event_name else event_name end"),
        "event_name",
    ),
    "events come again with other accounts": _events(
        _set("account_id", "'A' || lpad((1 + substr(account_id, 2)::int % 50)::varchar, 3, '0')"),
        "raw.usage_events.event_id",
    ),
    "no event since two days": _events(f"from t where not ({LAST_DAYS})", stops=False),
    "a segment's events are missing": _events(
        f"from t where not ({LAST_DAYS} and substr(account_id, 2)::int % 3 = 0)",
        stops=False,
    ),
    "events lie in the future": _events(
        _set("occurred_at", f"case when {LAST_DAYS} then occurred_at + interval 1 year"
             " else occurred_at end"),
        "occurred_at",
    ),
    "a bot is active in every account": _events(
        "from t union all by name select 'bot' || i as event_id, 'A' || lpad(i::varchar, 3, '0')"
        " as account_id, timestamp '2026-06-10 03:00' as occurred_at, 'login' as event_name,"
        " 'bot' as user_id, null as feature from range(1, 51) as bots (i)",
        stops=False,
    ),
}  # fmt: skip
