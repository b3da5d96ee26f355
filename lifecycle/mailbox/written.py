"""What a person wrote in a reply, without the mail that it quotes and without a signature.

A library knows how mail clients begin a quotation in many languages; what it does not know are
some Japanese clients, and the marks by which a quoted mail of ours can be told.
"""

from __future__ import annotations

import re
import unicodedata

from mailparser_reply import EmailReplyParser  # type: ignore[import-untyped]

LANGUAGES = ["en", "ja", "de", "fr"]

_QUOTE_BEGINS = re.compile(
    r"(?im)^(?:"
    r">.*"
    r"|[ \t]*-{2,} ?(?:original message|forwarded message|元のメッセージ|転送メッセージ).*"
    r"|_{10,}[ \t]*"
    r"|(?:on )?(?:mon|tue|wed|thu|fri|sat|sun), \d{1,2} \w{3} \d{4} [\d:]{4,8} [+-]\d{4}.{0,12}"
    r"|[ \t]*(?:on|am|le) .{6,120}(?:wrote|schrieb|a écrit) ?[:：][ \t]*"
    r"|.{0,80}\d{4}[年/.-] ?\d{1,2}[月/.-] ?\d{1,2}日?.{0,120}"
    r"(?:[:：]|書きました。?|writes?:)[ \t]*"
    r"|.{0,60}(?:さん|様|さま)?(?:は|が|のメール[:：]?).{0,60}"
    r"(?:書きました|書いています)[。:：]?[ \t]*"
    r"|\"?.{0,60}<[^<>\s]+@[^<>\s]+> ?(?:wrote|さんは書きました)[:：][ \t]*"
    r")$"
)
_HEADER_BLOCK = re.compile(
    r"(?im)^[* ]*(?:from|差出人|送信者|von|de)[*]? ?[:：].*\n(?:.*\n){0,3}?"
    r"[* ]*(?:sent|date|送信日時|日時|日付|to|宛先|subject|件名)[*]? ?[:：]"
)
_SIGNATURE = re.compile(r"(?m)^(?:-- ?|[-=*_+~─━＝－\-]{8,})\s*$")
_SENT_FROM = re.compile(
    r"(?im)^(?:sent from (?:my |outlook).*|get outlook for .*|(?:my )?iphone(?:から送信)?"
    r"|.*(?:から送信されました|から送信))\s*$"
)


def written(text: str) -> str:
    """The words of the person alone, also where they stand below the quotation."""
    above = _above_the_quote(text)
    if above.strip():
        parsed = EmailReplyParser(languages=LANGUAGES).parse_reply(text=above) or ""
        # The library takes a short answer below a greeting for a signature now and then.
        return _trimmed(parsed if parsed.strip() else above)
    below = "\n".join(
        line
        for line in text.split("\n")
        if not line.lstrip().startswith(">") and not _QUOTE_BEGINS.fullmatch(line)
    )
    return _trimmed(below)


def _above_the_quote(text: str) -> str:
    ends = [
        match.start()
        for pattern in (_QUOTE_BEGINS, _HEADER_BLOCK)
        if (match := pattern.search(text))
    ]
    return text[: min(ends)] if ends else text


def _trimmed(text: str) -> str:
    if signature := _SIGNATURE.search(text):
        text = text[: signature.start()]
    return _SENT_FROM.sub("", text).strip()


def first_lines(text: str, count: int = 3) -> list[str]:
    """The first lines that are not empty, in one form of letters, without marks around them."""
    lines = (plain(line) for line in text.split("\n"))
    return [line for line in lines if line][:count]


def plain(line: str) -> str:
    """A line as it is compared: full-width letters as others, small, without marks at its ends."""
    narrow = unicodedata.normalize("NFKC", line).casefold()
    return narrow.strip(" \t\u3000.,:;!?()[]{}<>\"'`*_#-~。、・「」『』【】〈〉…！？")
