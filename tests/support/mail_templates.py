"""A company folder with templates of its own, as `lifecycle.settings.load` finds it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lifecycle.settings import Settings, load

COMPANY = """
[company]
name = "Sakura Works"
from_email = "success@example.com"
postal_address = "1-2-3 Marunouchi, Chiyoda-ku, Tokyo 100-0005, Japan"
contact = "support@example.com"
locale = "{locale}"
"""
FOOTER = """---
{{ company.name }}
{{ company.postal_address }}
For {{ contact.email }} of {{ account.name }}
{{ unsubscribe_url }}
"""
MAIL = "Subject: Hello {{ account.name }}\n\nDear {{ contact.name }}\n"

Company = Callable[..., Settings]


@pytest.fixture
def company(tmp_path: Path) -> Company:
    """Make a company: its locale, and its template files (None: the file is not there)."""

    def make(files: dict[str, str | bytes | None] | None = None, locale: str = "ja") -> Settings:
        (tmp_path / "lifecycle.toml").write_text(COMPANY.format(locale=locale), encoding="utf-8")
        there = {
            "_footer.ja.txt": FOOTER,
            "_footer.en.txt": FOOTER,
            "win_back/hello.ja.txt": MAIL,
            "win_back/hello.en.txt": MAIL,
            **(files or {}),
        }
        for name, content in there.items():
            if content is not None:
                path = tmp_path / "email_templates" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load(tmp_path / "lifecycle.toml")

    return make
