"""Writes docs/settings.md from the settings themselves: `python docs/settings.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from lifecycle.settings import Settings

HEAD = """# Settings

`lifecycle.toml` holds what differs between companies. Every key can also be given in the
environment as `LIFECYCLE__SECTION__KEY`, a list or table there as JSON; keys marked *secret*
only there. A relative path in the file is relative to the file.
"""


def settings_as_markdown() -> str:
    """The whole page."""
    return HEAD + "".join(_sections())


def _sections() -> Iterator[str]:
    for name, section in Settings.model_fields.items():
        model = section.annotation
        if get_origin(model) is dict:
            name, model = f"{name}.<name>", get_args(model)[1]
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield f"\n## [{name}]\n\n{(model.__doc__ or '').strip()}\n\n"
            yield "| key | default | meaning |\n|---|---|---|\n"
            for key, field in model.model_fields.items():
                yield f"| `{name}.{key}` | {_default(field)} | {field.description or ''} |\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, SecretStr):
        return "*secret*"
    return f"`{json.dumps(value, default=str, ensure_ascii=False)}`"


if __name__ == "__main__":
    page = Path(__file__).with_suffix(".md")
    page.write_text(settings_as_markdown(), encoding="utf-8")
