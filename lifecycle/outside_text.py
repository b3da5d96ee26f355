"""What others wrote, as text wherever it is shown: one function for each place.

A name from a CRM or a sign-up form may hold escapes of a terminal, signs that turn the direction of
a line, Markdown, HTML or a formula. Every writer shows it as the words that it is.
"""

from __future__ import annotations

import re

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters but tab and line feed; an escape of a terminal begins with one."""
_SHAPES = re.compile("[\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\U000e0000-\U000e007f]")
"""Signs that turn the direction of a line, end it, or hide words in it."""
_UNKNOWN = "\N{REPLACEMENT CHARACTER}"

_MARKDOWN = re.compile(r"[\\`*\[\]<>|]|&(?=#?\w+;)|~(?=~)|(?<![\w])_|_(?![\w])")
_SCHEME = re.compile(r"(?i)\b(https?|ftp|javascript|data|vbscript|file)(:)")
_WWW = re.compile(r"(?i)\b(www)(\.)")
_MENTION = re.compile(r"(?<![\w.*+-])@(?=\w)")
_LINE_START = re.compile(r"(?m)^(\s*)([#+=-])(?=\s|[#=-])")
_LINE_NUMBER = re.compile(r"(?m)^(\s*\d+)([.)])(?=\s)")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def for_terminal(text: str) -> str:
    """The text with its control characters made visible; lines and tabs stay."""
    return _SHAPES.sub(_UNKNOWN, _CONTROLS.sub(_picture, text))


def for_log(text: str) -> str:
    """The text without control characters, each of its lines but the first set in."""
    return for_terminal(text).replace("\n", "\n  ")


def for_json(document: str) -> str:
    """A JSON document whose control characters are escaped, for a terminal that shows it."""
    escaped = _CONTROLS.sub(lambda sign: f"\\u{ord(sign[0]):04x}", document)
    return _SHAPES.sub(_surrogates, escaped)


def for_markdown(text: str) -> str:
    """The text as words of Markdown: no link, no picture, no HTML, no mention, no format."""
    plain = _MARKDOWN.sub(lambda sign: f"\\{sign[0]}", for_terminal(text))
    for scheme in (_SCHEME, _WWW):
        plain = scheme.sub(r"\1\\\2", plain)
    plain = _MENTION.sub("@\N{WORD JOINER}", plain)
    for start in (_LINE_START, _LINE_NUMBER):
        plain = start.sub(r"\1\\\2", plain)
    return plain


def for_csv(text: str) -> str:
    """The text as a cell that no spreadsheet reads as a formula."""
    plain = for_terminal(text)
    return f"'{plain}" if text.startswith(_FORMULA) or plain.startswith(_FORMULA) else plain


def _picture(sign: re.Match[str]) -> str:
    code = ord(sign[0])
    if code == 0x7F:
        return "\N{SYMBOL FOR DELETE}"
    return chr(0x2400 + code) if code < 0x20 else _UNKNOWN


def _surrogates(sign: re.Match[str]) -> str:
    units = sign[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
