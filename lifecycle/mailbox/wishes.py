"""What the words of a message say: that somebody wants no more mail, or that nobody is there.

A wish is clear where a line of the first three is nothing but the wish. What only mentions it, or
asks about it, is an answer for a person to read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta

from lifecycle.mailbox.written import first_lines, plain

_PLEASE = (
    r"(?:(?:hi|hello|dear)\b.{0,40}[,;] ?)?"
    r"(?:please |pls |kindly |i(?:'d| would) like to |i want to )?"
)
_FROM = r"(?: (?:me|us|my (?:e-?mail|address)))?(?: (?:from|off|to|of) .{1,60})?"
_ENGLISH = re.compile(
    rf"{_PLEASE}(?:unsubscribe{_FROM}|opt(?:[- ]me)?[- ]out{_FROM}|stop"
    r"|(?:remove|delete) (?:me|us|my (?:e-?mail|address)\b.{0,20})(?: from .{1,60})?"
    r"|take (?:me|us) off .{1,60}"
    r"|stop (?:(?:sending|emailing|mailing|e-mailing|contacting) (?:me|us).{0,40}"
    r"|(?:the|these|all|your) (?:e-?mails?|mails?|messages?))"
    r"|(?:do not|don't|dont) (?:send|e-?mail|mail|contact|write)(?: to)? (?:me|us)\b.{0,40}"
    r"|no more (?:e-?mails?|mails?|messages?)(?: please)?)"
    r"(?:[,.]? (?:please|thanks?(?: you)?|immediately|now))*"
)
_WANTS = (
    r"(?:を|の)?(?:お願い(?:いた|致)?(?:します|したい(?:です|と思います)?)|お願い"
    r"|希望(?:します|いたします|致します|です)?"
    r"|して(?:ください|下さい|ほしい(?:です)?|欲しい(?:です)?|いただけますか|頂けますか"
    r"|いただきたい(?:です|と思います)?|くれ)"
    r"|したい(?:です|と思います)?)?"
)
_JAPANESE = re.compile(
    r"(?:(?:お世話になっております|すみませんが|恐れ入りますが|恐縮ですが|申し訳ございませんが"
    r"|今後の?|今後は|以後|もう)[。、 ]*)*"
    r"(?:(?:この|こちらの|本|御社の|貴社の)?"
    r"(?:メール(?:マガジン)?|メルマガ|お知らせ|案内|ご案内|配信)(?:の|を|は)?)?"
    r"(?:配信停止|配信を停止|配信を止め|停止|(?:購読|登録|配信)(?:の|を)?(?:解除|中止|停止)"
    r"|退会|受信拒否|配信不要|メール不要|不要|必要ありません|要りません|いりません)"
    + _WANTS
    + r"(?:です|ます)?"
)
_JAPANESE_DO_NOT = re.compile(
    r"(?:(?:今後|以後|もう|これ以上|すみませんが|恐れ入りますが)[は、 ]*)*"
    r"(?:(?:この|こういう|このような|御社から(?:の)?|貴社から(?:の)?)?"
    r"(?:メール|メルマガ|案内|ご案内)?(?:は|を)?(?:もう|今後)?)?"
    r"(?:送ら|送信し|配信し|連絡し)ないで(?:ください|下さい|ほしい(?:です)?|もらえますか|いただけますか)"
)
_ALONE = frozenset({"停止", "不要", "必要ありません", "要りません", "いりません"})
"""Too little to be a wish by itself: of what, nobody says."""

_AUTO_SUBJECT = re.compile(
    r"(?:\[?(?:自動返信|自動応答|自動送信|不在通知|不在応答|不在連絡|不在のお知らせ|不在)\b"
    r"|【(?:自動|不在|休暇)"
    r"|(?:自動返信|自動応答|自動送信|不在通知|不在)[:：】\] ]"
    r"|out[- ]of[- ](?:the[- ])?office|auto(?:matic)?[- ]?(?:reply|response|responder)"
    r"|autoreply|abwesenheit|réponse automatique|on (?:vacation|leave|holiday)\b)",
    re.IGNORECASE,
)
_AUTO_TEXT = re.compile(
    r"(?:このメール|本メール|当メール|こちら)は.{0,20}自動(?:返信|応答|送信|配信|的)"
    r"|自動(?:返信|応答|送信|配信)(?:メール)?(?:です|となります|でお送り|しております|いたしております)"
    r"|this is an auto(?:mated|matic)(?:ally generated)? (?:reply|response|message|e-?mail)"
    r"|^(?:i am|i'm|i will be) (?:currently )?"
    r"(?:out of (?:the |my )?office|on (?:annual |parental |sick )?leave"
    r"|away from (?:the |my )?(?:office|desk))",
    re.IGNORECASE | re.MULTILINE,
)


def wants_out(text: str, subject: str) -> bool:
    """Whether the person clearly wants no more mail, by their own words or by a subject alone."""
    lines = first_lines(text)
    if any(_is_wish(line) for line in lines):
        return True
    is_answer = re.match(r"(?i)\s*(?:re|aw|sv|fw|fwd|返信)\s*[:：]", subject)
    return not lines and not is_answer and _is_wish(plain(subject))


def _is_wish(line: str) -> bool:
    if line in _ALONE:
        return False
    compact = line.replace(" ", "").replace("\u3000", "")
    return bool(
        _ENGLISH.fullmatch(line)
        or _JAPANESE.fullmatch(compact)
        or _JAPANESE_DO_NOT.fullmatch(compact)
    )


def says_automatic(subject: str, text: str) -> bool:
    """Whether the words of a message say that nobody wrote it just now."""
    without_re = re.sub(r"(?i)^\s*(?:(?:re|aw|fw)\s*[:：]\s*)+", "", subject)
    head = "\n".join(text.strip().split("\n")[:12])
    return bool(_AUTO_SUBJECT.match(without_re) or _AUTO_TEXT.search(head))


_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DATES = (
    re.compile(r"(?P<y>\d{4})[-/.年] ?(?P<m>\d{1,2})[-/.月] ?(?P<d>\d{1,2})"),
    re.compile(r"(?P<m>\d{1,2})月 ?(?P<d>\d{1,2})日"),
    re.compile(r"(?P<m>\d{1,2})/(?P<d>\d{1,2})(?![\d/])"),
    re.compile(
        r"(?i)(?P<d>\d{1,2})(?:st|nd|rd|th)?(?: of)? "
        r"(?P<n>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?(?:,? (?P<y>\d{4}))?"
    ),
    re.compile(
        r"(?i)(?P<n>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.? "
        r"(?P<d>\d{1,2})(?:st|nd|rd|th)?(?:,? (?P<y>\d{4}))?"
    ),
)


def return_day(text: str, received: date) -> date | None:
    """The last day that an automatic answer names, within a year: until then, or from then on."""
    days = []
    for pattern in _DATES:
        for match in pattern.finditer(text):
            facts = match.groupdict()
            month = int(facts["m"]) if facts.get("m") else 0
            if name := facts.get("n"):
                month = _MONTHS.index(name[:3].lower()) + 1
            year = int(facts.get("y") or received.year)
            try:
                day = date(year, month, int(facts["d"]))
                if not facts.get("y") and day < received - timedelta(days=60):
                    day = day.replace(year=year + 1)
            except ValueError:
                continue
            if received <= day <= received + timedelta(days=366):
                days.append(day)
    return max(days, default=None)


def answered_number(text: str, labels: Sequence[tuple[str, str]]) -> str | None:
    """The label of the answer that the first line is, and nothing but it; else None.

    `labels` are digit and label. Full-width digits, circled ones and marks around count the same;
    "10分後に" and "3 people use it" are no answer.
    """
    lines = first_lines(text, 1)
    if not lines:
        return None
    line = re.sub(r"^(?:no|番号|答え|回答)\s*[.:：]?\s*", "", lines[0])
    line = re.sub(
        r"\s*(?:番|です|番です|でお願いします|番でお願いします|をお願いします)$", "", plain(line)
    )
    for digit, label in labels:
        if line in (digit, label.casefold(), label.replace("_", " ").casefold()):
            return label
    return None
