"""The unsubscribe pages: plain HTML in the language of the mail, without outside resources.

Their words are in `templates/unsubscribe.<language>.html`, one file a language.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from pathlib import Path
from typing import Literal

from babel import negotiate_locale
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from lifecycle.html_templates import environment
from lifecycle.mail.folder import nearest
from lifecycle.settings import Company

Page = Literal["ask", "done", "unknown"]

_FOLDER = Path(__file__).with_name("templates")
_templates = environment(_FOLDER)
LANGUAGES = sorted(path.name.split(".")[1] for path in _FOLDER.glob("unsubscribe.*.html"))
STYLE = (_FOLDER / "style.css").read_text(encoding="utf-8")
_STYLE_HASH = b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}
"""Headers of every page. Its URL is a key, so browsers must not cache, pass on or frame it."""

_PREFERENCE = re.compile(
    r"\s*(?P<tag>[a-z]{1,8}(-[a-z0-9]{1,8}){0,4})\s*"
    r"(;\s*q=(?P<weight>0(\.[0-9]{0,3})?|1(\.0{0,3})?)\s*)?",
    re.IGNORECASE,
)
"""One language of an Accept-Language header, and its weight."""


def language_of(accept_language: str) -> str | None:
    """The language of the pages that an Accept-Language header (RFC 9110, 12.5.4) prefers; None
    where it names none of them."""
    weights: dict[str, float] = {}
    for item in accept_language.split(","):
        if preference := _PREFERENCE.fullmatch(item):
            weights[preference["tag"]] = float(preference["weight"] or 1)
    wanted = sorted((tag for tag in weights if weights[tag]), key=lambda tag: -weights[tag])
    return negotiate_locale(wanted, LANGUAGES, sep="-")


def page(which: Page, company: Company, locale: str | None = None) -> HTMLResponse:
    """A page in the nearest language to `locale`, else the company's, else English."""
    language = nearest(locale, LANGUAGES) or nearest(company.locale, LANGUAGES) or "en"
    template = _templates.get_template(f"unsubscribe.{language}.html")
    html = template.render(which=which, locale=language, company=company, style=Markup(STYLE))
    return HTMLResponse(html, status_code=404 if which == "unknown" else 200, headers=HEADERS)
