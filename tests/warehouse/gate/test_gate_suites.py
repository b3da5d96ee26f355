"""A suite that cannot be used is refused before anything runs, with place and hint."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.authoring.validate import validate
from lifecycle.errors import InputError
from lifecycle.settings import CHECKOUT, Settings, Source, load
from lifecycle.warehouse.expected_schema import check_suites
from lifecycle.warehouse.gate import suites

GOOD = """
key: account_id
expectations:
  - expect: expect_column_values_to_not_be_null
    column: [account_id, name]
    severity: critical
    because: Why
      it matters.
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "lifecycle.toml").write_text(
        """
[company]
name = "Example"
from_email = "success@example.com"
postal_address = "1 Example Street"
contact = "support@example.com"
""",
        encoding="utf-8",
    )
    return load(tmp_path / "lifecycle.toml")


def write(settings: Settings, text: str) -> Path:
    file = settings.root / "expectations" / "raw" / "accounts.yml"
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    return file


def test_a_list_of_columns_is_an_expectation_each(settings: Settings) -> None:
    write(settings, GOOD)
    [suite] = suites.load(settings, "raw")
    assert suite.name == "raw.accounts"
    assert suite.key == ("account_id",)
    assert [check.columns for check in suite.checks] == [("account_id",), ("name",)]
    assert {check.because for check in suite.checks} == {"Why it matters."}
    assert {check.line for check in suite.checks} == {4}


def test_the_companys_own_folder_wins_over_the_projects(settings: Settings) -> None:
    assert {suite.file.parent for suite in suites.load(settings, "raw")} == {
        CHECKOUT / "expectations" / "raw"
    }
    file = write(settings, GOOD)
    assert [suite.file for suite in suites.load(settings, "raw")] == [file]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("severity: critical", "severity: critcal", 6, 'did you mean "critical"'),
        ("    severity: critical\n", "", 4, "severity: is required"),
        ("    because: Why\n      it matters.\n", "", 4, "because: is required"),
        ("severity: critical", "sevrity: critical", 6, 'did you mean "severity"'),
        ("not_be_null", "not_be_nul", 4, 'did you mean "expect_column_values_to_not_be_null"'),
        ("expect_column_values_to_not_be_null", "unexpected_row", 4, 'mean "unexpected_rows"'),
        ("column:", "colunm:", 5, 'did you mean "column"'),
        ("column: [account_id, name]", "mostly: 0.5", 4, "column: field required"),
        ("column: [", "mostly: much\n    column: [", 5, "mostly"),
        ("key:", "keys:", 2, 'did you mean "key"'),
        ("expectations:", "expectation:", 3, 'did you mean "expectations"'),
        ("to_not_be_null", "to_match_regex", 4, "does not run on DuckDB"),
        ("  - expect: ", "  - ", 4, "is a mapping that begins with expect:"),
        ("severity: critical", "severity: [critical", 7, "not valid YAML"),
        ("severity: critical", "column: name", 6, "not valid YAML"),
    ],
)
def test_a_slip_is_named_with_its_line(
    settings: Settings, old: str, new: str, line: int, message: str
) -> None:
    assert old in GOOD
    if new == "  - ":
        text = "\nkey: account_id\nexpectations:\n  - expect_column_values_to_not_be_null\n"
    else:
        text = GOOD.replace(old, new, 1)
    file = write(settings, text)
    with pytest.raises(InputError) as refused:
        suites.load(settings, "raw")
    assert refused.value.exit_status == 2
    [problem] = [p for p in str(refused.value).splitlines() if message in p]
    assert problem.startswith(f"{file}:{line}: ")


def test_all_slips_are_told_at_once(settings: Settings) -> None:
    write(settings, GOOD.replace("critical", "critcal").replace("not_be_null", "be_nul"))
    with pytest.raises(InputError) as refused:
        suites.load(settings, "raw")
    assert len(str(refused.value).splitlines()) == 2


@pytest.mark.parametrize("text", ["", "- just\n- a list\n", "key: account_id\n"])
def test_a_file_that_is_no_suite_is_refused(settings: Settings, text: str) -> None:
    write(settings, text)
    with pytest.raises(InputError, match=r"accounts\.yml"):
        suites.load(settings, "raw")


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("name]", "nmae]", 4, "raw.accounts has no column 'nmae' (did you mean \"name\"?)"),
        ("key: account_id", "key: acount_id", 2, "has no column 'acount_id'"),
    ],
)
def test_a_misspelt_column_is_named(
    settings: Settings, old: str, new: str, line: int, message: str
) -> None:
    file = write(settings, GOOD.replace(old, new))
    tables = {"raw.accounts": ["account_id", "name"]}
    with pytest.raises(InputError) as refused:
        suites.check_columns(suites.load(settings, "raw"), tables)
    assert str(refused.value).startswith(f"{file}:{line}: ")
    assert message in str(refused.value)


def test_a_suite_of_no_table_is_named(settings: Settings) -> None:
    file = write(settings, GOOD)
    with pytest.raises(InputError) as refused:
        suites.check_columns(suites.load(settings, "raw"), {"raw.account": ["account_id"]})
    assert str(refused.value) == (
        f'{file}: there is no table raw.accounts (did you mean "raw.account"?)'
    )


def test_a_column_may_be_missing_where_that_is_the_question(settings: Settings) -> None:
    write(
        settings,
        GOOD.replace("expect_column_values_to_not_be_null", "expect_column_to_exist").replace(
            "[account_id, name]", "region"
        ),
    )
    suites.check_columns(suites.load(settings, "raw"), {"raw.accounts": ["account_id"]})


def test_what_a_run_would_not_find_is_named_before_there_is_a_run(settings: Settings) -> None:
    file = write(settings, GOOD.replace("name]", "nmae]"))
    marts = settings.root / "expectations" / "marts"
    marts.mkdir()
    (marts / "account_360.yml").write_text(GOOD.replace("key: account_id", "key: acount_id"))
    (marts / "dim_acounts.yml").write_text(GOOD)
    assert [str(problem) for problem in validate(settings).problems[-3:]] == [
        f"{file}:4: raw.accounts has no column 'nmae' (did you mean \"name\"?)",
        f"{marts}/account_360.yml:2: marts.account_360 has no column 'acount_id' "
        '(did you mean "account_id"?)',
        f"{marts}/dim_acounts.yml: there is no table marts.dim_acounts "
        '(did you mean "marts.dim_accounts"?)',
    ]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "select nmae from raw.accounts",
            "sql: there is no column 'nmae' (did you mean \"name\"?)",
        ),
        ("select 1 from raw.accounts a where a.nmae > 'x'", "there is no column 'nmae'"),
        ("from raw.accounts a join raw.contacts c using (acount_id)", "no column 'acount_id'"),
        ("select account_id from raw.accounts where", "sql: Parser Error: syntax error"),
        ("select as_of from context.run where _loaded_at > as_of", "no column '_loaded_at'"),
        ("select x from snapshots.accounts_snapshot", None),
        ("select name from raw.accounts join marts.account_360 using (account_id, name)", None),
    ],
)
def test_the_sql_of_a_suite_is_read_without_a_run(
    settings: Settings, sql: str, expected: str | None
) -> None:
    file = write(
        settings,
        "key: account_id\nexpectations:\n  - expect: unexpected_rows\n    severity: warning\n"
        f'    because: Why.\n    sql: "{sql}"\n',
    )
    guarded = suites.load(settings, "raw")
    if expected is None:
        check_suites(settings, guarded)
        return
    with pytest.raises(InputError) as refused:
        check_suites(settings, guarded)
    assert str(refused.value).startswith(f"{file}:3: ")
    assert expected in str(refused.value)


def test_a_column_that_the_export_brings_may_be_guarded(settings: Settings) -> None:
    export = settings.root / "export"
    export.mkdir()
    (export / "accounts.csv").write_text("account_id,name,created_at,Parent Company\n")
    from_files = settings.model_copy(
        update={"source": Source(kind="files", path=str(export))}, deep=True
    )
    query = (
        "  - expect: unexpected_rows\n    severity: info\n    because: Why.\n"
        "    sql: select account_id from raw.accounts where parent_company is null\n"
    )
    write(settings, GOOD.replace("name]", "parent_company]") + query)
    guarded = suites.load(settings, "raw")
    check_suites(from_files, guarded)  # the other tables are missing: the run says so
    for table, header in (
        ("contacts", "contact_id,account_id,email"),
        ("usage_events", "event_id,account_id,occurred_at,event_name"),
    ):
        (export / f"{table}.csv").write_text(header + "\n")
    check_suites(from_files, guarded)
    (export / "accounts.csv").write_text("account_id,name,created_at\n")
    with pytest.raises(InputError, match="no column 'parent_company'"):
        check_suites(from_files, guarded)
