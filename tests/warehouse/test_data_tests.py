"""One query asks every data test: it names those that dbt finds when it runs each by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lifecycle.warehouse.build import run_data_tests
from warehouse.dbt_in_process import build_untested, dbt
from warehouse.test_build import WEDNESDAY, company_of

BREAK = """
    update marts.account_360 set name = null where account_id = 'busy';  -- not_null
    update marts.account_360 set stage = 'asleep' where account_id = 'busy';  -- accepted_values
    insert into intermediate.int_feed_age from intermediate.int_feed_age;  -- has_one_row
    insert into marts.dim_contacts from marts.dim_contacts where contact_id = 'c1';  -- key
    create or replace view marts.fct_account_health_daily as  -- unique_rows, of the run's own day
        from intermediate.int_health_days_kept union all from intermediate.int_health_days_kept;
    update marts.dim_contacts set account_id = 'nobody' where contact_id = 'c2';  -- relationships
"""


def test_it_names_what_dbt_finds_test_by_test(tmp_path: Path) -> None:
    company = company_of(tmp_path / "company")
    company.see(WEDNESDAY)
    build_untested(company.settings)
    assert named(run_data_tests(company.settings)) == set(), "nothing fails: none runs by itself"
    company.sql(BREAK)
    alone = dbt(company.settings, tmp_path / "target", "test", "--select", "test_type:generic")
    failing = {test.node.name: test for test in alone.result.results if test.status == "fail"}
    kinds = {test.node.test_metadata.name for test in failing.values()}
    assert kinds == {
        *("not_null", "accepted_values", "has_one_row", "key", "unique_rows", "relationships")
    }
    assert named(run_data_tests(company.settings)) == failing.keys()


def named(results: Sequence[Any]) -> set[str]:
    """The generic tests among dbt's results."""
    return {result.node.name for result in results if hasattr(result.node, "test_metadata")}
