"""The unsubscribe pages: plain HTML in the language of the mail, without outside resources."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Literal

from fastapi.responses import HTMLResponse
from jinja2 import Environment
from markupsafe import Markup

from lifecycle.mail.folder import nearest
from lifecycle.settings import Company

Page = Literal["ask", "done", "unknown"]

STYLE = """
:root { color-scheme: light dark; font: 1rem/1.7 system-ui, -apple-system, "Hiragino Sans",
  "Noto Sans CJK JP", "Noto Sans JP", "Yu Gothic UI", sans-serif; }
body { margin: 0; padding: 12vh 1.25rem 3rem; background: Canvas; color: CanvasText; }
main { max-width: 34rem; margin: 0 auto; }
h1 { font-size: 1.5rem; line-height: 1.4; margin: 0 0 1rem; text-wrap: balance; }
p { margin: 0 0 1.25rem; overflow-wrap: anywhere; }
:lang(ja) { word-break: auto-phrase; }
button { font: inherit; font-weight: 600; padding: .7rem 1.6rem; border: 0; border-radius: .5rem;
  background: #14532d; color: #fff; cursor: pointer; }
button:hover { background: #166534; }
button:focus-visible { outline: 3px solid #86efac; outline-offset: 2px; }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid GrayText; font-size: .875rem; }
"""

LAYOUT = """<!doctype html>
<html lang="{{ locale }}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<title>{{ title }}</title>
<style>{{ style }}</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
{% for line in lines %}<p>{{ line }}</p>
{% endfor %}
{% if button %}<form method="post">
<input type="hidden" name="List-Unsubscribe" value="One-Click">
<button name="from" value="page">{{ button }}</button>
</form>
{% endif %}
<footer>{{ company.name }}<br>{{ contact_label }}{{ company.contact }}</footer>
</main>
</body>
</html>
"""

Words = Mapping[str, str | tuple[str, ...]]

WORDS: Mapping[str, Mapping[Page | Literal["contact"], Words]] = {
    "en": {
        "contact": {"label": "Contact: "},
        "ask": {
            "title": "Stop these emails?",
            "lines": (
                "Press the button and {company} sends no more emails of this kind to your "
                "address. The people who look after you can still write to you themselves.",
            ),
            "button": "Unsubscribe",
        },
        "done": {
            "title": "You are unsubscribed",
            "lines": (
                "{company} sends no more emails of this kind to your address. There is nothing "
                "else to do; you can close this page.",
            ),
        },
        "unknown": {
            "title": "This page does not exist",
            "lines": (
                "The link may have been cut off or changed on its way. To stop emails from "
                "{company}, please write to the contact below.",
            ),
        },
    },
    "ja": {
        "contact": {"label": "お問い合わせ："},
        "ask": {
            "title": "メールの配信を停止しますか？",
            "lines": (
                "下のボタンを押すと、{company}からのご案内メールは、"
                "お客様のメールアドレスに届かなくなります。",
                "なお、担当者から個別にご連絡を差し上げる場合がございます。",
            ),
            "button": "配信を停止する",
        },
        "done": {
            "title": "配信を停止しました",
            "lines": (
                "今後、{company}からのご案内メールは、お客様のメールアドレスに届きません。",
                "お手続きはこれで完了です。このページは閉じていただいてかまいません。",
            ),
        },
        "unknown": {
            "title": "ページが見つかりません",
            "lines": (
                "リンクが途中で切れているか、変わってしまっている可能性があります。"
                "{company}からのメールの停止をご希望の場合は、"
                "お手数ですが下記までご連絡ください。",
            ),
        },
    },
}

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

_LIKED = re.compile(
    r"\s*(?P<tag>[a-z]{1,8}(-[a-z0-9]{1,8}){0,4})\s*"
    r"(;\s*q=(?P<weight>0(\.[0-9]{0,3})?|1(\.0{0,3})?)\s*)?",
    re.IGNORECASE,
)
"""One language of an Accept-Language header, and how well it is liked."""

_layout = Environment(autoescape=True, trim_blocks=True).from_string(LAYOUT)


def language_of(accepted: str) -> str | None:
    """Of an Accept-Language header (RFC 9110, 12.5.4) the language best liked that the pages are
    in; None where it names none of them."""
    liked: dict[str, float] = {}
    for item in accepted.split(","):
        if (named := _LIKED.fullmatch(item)) and (spoken := nearest(named["tag"], WORDS)):
            liked[spoken] = max(liked.get(spoken, 0.0), float(named["weight"] or 1))
    best = max(liked, key=lambda language: liked[language], default=None)
    return best if best and liked[best] else None


def page(which: Page, company: Company, locale: str | None = None) -> HTMLResponse:
    """A page in the nearest language to `locale`, else the company's, else English."""
    spoken = nearest(locale, WORDS) or nearest(company.locale, WORDS) or "en"
    words = WORDS[spoken][which]
    lines = words["lines"]
    html = _layout.render(
        locale=spoken,
        title=words["title"],
        lines=[line.format(company=company.name) for line in lines],
        button=words.get("button"),
        contact_label=WORDS[spoken]["contact"]["label"],
        company=company,
        style=Markup(STYLE),
    )
    return HTMLResponse(html, status_code=404 if which == "unknown" else 200, headers=HEADERS)
