"""Writes a page about each gate: Great Expectations' Data Docs in one file.

Great Expectations words what was expected and what was found. The page around it is our
own, because the stock one fetches its styles and scripts from other people's servers: it
would be unreadable without a network, and would tell them who looks at which data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from great_expectations.core import ExpectationValidationResult
from great_expectations.render.renderer.content_block import (
    ValidationResultsTableContentBlockRenderer,
)
from great_expectations.render.view import DefaultJinjaComponentView
from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="UTF-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Gate: {{ door }}</title>
<style>
  :root { color-scheme: light dark; --line: #8884; --bad: #c62828; --good: #2e7d32; }
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto;
         padding: 0 1rem; }
  h1, h2 { line-height: 1.2; }
  h2 { margin-top: 2.5rem; }
  h2 small { font-weight: normal; font-size: 1rem; }
  li { margin: .3rem 0; overflow-wrap: anywhere; }
  table { border-collapse: collapse; width: 100%; }
  th { text-align: left; }
  th, td { border-bottom: 1px solid var(--line); padding: .4rem .6rem .4rem 0;
           vertical-align: top; }
  td table { width: auto; margin: .4rem 0; font-size: .9em; }
  .sql { white-space: pre-wrap; font: .85em/1.4 ui-monospace, monospace; display: block; }
  .badge { font-weight: bold; }
  .fas { font-style: normal; font-weight: bold; }
  .fa-check-circle::before { content: "✓"; color: var(--good); }
  .fa-times::before, .fa-exclamation-triangle::before { content: "✗"; color: var(--bad); }
</style>
</head>
<body>
<h1>Gate: {{ door }}</h1>
<p>Checked {{ at }} UTC. The checks stand in <code>expectations/{{ door }}</code>.</p>
{% for title, sentences in findings.items() if sentences %}
<h2>{{ title }}</h2>
<ul>{% for sentence in sentences %}<li>{{ sentence }}</li>{% endfor %}</ul>
{% endfor %}
{% for table in tables %}
<h2 id="{{ table.name }}">{{ table.name }} <small>{{ table.passed }} of {{ table.checks }}
passed</small></h2>
{{ table.html }}
{% endfor %}
</body>
</html>
"""


def write(
    folder: Path,
    door: str,
    tables: Mapping[str, Sequence[ExpectationValidationResult]],
    findings: Mapping[str, Sequence[str]],
) -> Path:
    """Replace the page of a gate, and return its path.

    `tables` holds what was found, a table each; `findings` sentences under their title.
    """
    view = _View()
    page = view.env.from_string(_PAGE).render(
        door=door,
        at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        findings=findings,
        tables=[
            {
                "name": name,
                "checks": len(outcomes),
                "passed": sum(bool(outcome.success) for outcome in outcomes),
                # `_View` escapes what comes from the data.
                "html": Markup(_table(view, outcomes)),
            }
            for name, outcomes in tables.items()
        ],
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{door}.html"
    path.write_text(page, encoding="utf-8")
    return path


class _View(DefaultJinjaComponentView):  # type: ignore[misc]
    """The stock view puts values from the data into the page as they are: as HTML."""

    @pass_context
    def render_content_block(
        self, jinja_context: Context, content_block: Any, *args: Any, **params: Any
    ) -> Any:
        if isinstance(content_block, str):
            return escape(content_block)
        if isinstance(content_block, list):
            content_block = [escape(e) if isinstance(e, str) else e for e in content_block]
        return super().render_content_block(jinja_context, content_block, *args, **params)


def _table(view: _View, outcomes: Sequence[ExpectationValidationResult]) -> str:
    """Great Expectations' own table, in our order, with the severity and the reason."""
    rendered = [
        ValidationResultsTableContentBlockRenderer.render([outcome]).to_json_dict()
        for outcome in outcomes
    ]
    table = rendered[0]
    table["header_row"] = [*table["header_row"], "Severity", "Because"]
    table["table"] = [
        [*row, outcome.expectation_config.severity.value, outcome.expectation_config.notes]
        for block, outcome in zip(rendered, outcomes, strict=True)
        for row in block["table"]
    ]
    return str(view.render({"content_block": table}))
