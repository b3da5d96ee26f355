"""The columns that a trigger may ask about."""

import pytest

from lifecycle.errors import TriggerError
from lifecycle.triggers.columns import Kind, account_columns, contact_columns, kind_of, read_columns


def test_the_models_own_yaml_names_the_columns():
    accounts, contacts = account_columns(), contact_columns()
    assert accounts["is_dormant"].kind is Kind.BOOLEAN
    assert accounts["is_dormant"].needs_feed
    assert accounts["mrr"].kind is Kind.NUMBER
    assert not accounts["mrr"].needs_feed
    assert accounts["stage"].accepted_values >= {"onboarding", "churned"}
    assert contacts["email_normalized"].kind is Kind.TEXT
    assert all(column.description for column in (*accounts.values(), *contacts.values()))


@pytest.mark.parametrize(
    ("data_type", "kind"),
    [
        ("BIGINT", Kind.NUMBER),
        ("decimal(18, 3)", Kind.NUMBER),
        ("double", Kind.NUMBER),
        ("varchar", Kind.TEXT),
        ("boolean", Kind.BOOLEAN),
        ("date", Kind.DATE),
        ("timestamp", Kind.TIMESTAMP),
        ("varchar[]", Kind.OTHER),
        ("timestamptz", Kind.OTHER),  # its meaning would depend on the session's time zone
        ("interval", Kind.OTHER),
    ],
)
def test_a_data_type_has_a_kind(data_type, kind):
    assert kind_of(data_type) is kind


YAML = """
version: 2
models:
  - name: other
    columns: [{name: x, data_type: int}]
  - name: account_360
    columns:
      - {name: plain, data_type: varchar, description: " Some text. "}
      - {name: by_meta, data_type: bigint, meta: {needs: usage_feed}}
      - {name: by_config, data_type: bigint, config: {meta: {needs: [usage_feed]}}}
      - {name: other_need, data_type: bigint, meta: {needs: surveys}}
      - name: old_test
        data_type: varchar
        tests: [not_null, {accepted_values: {values: [a, b]}}]
      - name: new_test
        data_type: varchar
        data_tests: [{accepted_values: {arguments: {values: [c]}}}]
"""


def test_need_and_accepted_values_may_be_written_in_each_of_dbts_ways(tmp_path):
    path = tmp_path / "account_360.yml"
    path.write_text(YAML)
    columns = read_columns(path)
    assert columns.model == "account_360"
    assert columns["plain"].description == "Some text."
    assert {name for name in columns if columns[name].needs_feed} == {"by_meta", "by_config"}
    assert columns["other_need"].needs == {"surveys"}
    assert columns["old_test"].accepted_values == {"a", "b"}
    assert columns["new_test"].accepted_values == {"c"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: []", "does not describe the model account_360"),
        ("a: [", "cannot be read"),
        ("models: [{name: account_360, columns: [{name: x}]}]", "no data_type for x"),
    ],
)
def test_a_model_without_types_is_refused(tmp_path, text, message):
    path = tmp_path / "account_360.yml"
    path.write_text(text)
    with pytest.raises(TriggerError, match=message):
        read_columns(path)
    with pytest.raises(TriggerError, match="cannot be read"):
        read_columns(tmp_path / "absent.yml")


def test_a_changed_description_is_read_again(tmp_path):
    path = tmp_path / "marts" / "account_360.yml"
    path.parent.mkdir()
    text = "models: [{name: account_360, columns: [{name: %s, data_type: bigint}]}]\n"
    path.write_text(text % "seats")
    assert list(read_columns(path)) == ["seats"]
    path.write_text(text % "purpose")
    assert list(read_columns(path)) == ["purpose"]
