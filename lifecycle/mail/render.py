"""Renders a planned mail: the right template, in the right language, with its footer.

A template may name `account` (columns of account_360), `contact` (columns of dim_contacts) and
`company` (section [company] of the settings); a footer also `unsubscribe_url`. The list of an
account owner names `owner`, `list` and `company` (lifecycle/planning/owner_news.py), and has no
footer: a colleague cannot unsubscribe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import Any, Literal
from zoneinfo import ZoneInfo

from email_validator import EmailNotValidError, validate_email
from wcwidth import width

from lifecycle.addresses import is_address
from lifecycle.errors import Problem, TemplateError
from lifecycle.mail.answer_token import AnswerTokens, token_keys
from lifecycle.mail.folder import Templates, nearest
from lifecycle.mail.message import Message, one_line
from lifecycle.mail.sandbox import Values
from lifecycle.mail.template import Template
from lifecycle.mail.unsubscribe import NO_SEND, UnsubscribeAddress
from lifecycle.mail.wrap import shortened, wrap
from lifecycle.settings import Settings
from lifecycle.template_names import MORNING, OWNER_LIST
from lifecycle.triggers.columns import account_columns

LocaleSource = Literal["trigger", "contact", "account", "company"]

WIDEST_SUBJECT = 200
"""Display columns. Mail clients show some 70; more is an accident."""
NAME_IN_SUBJECT = 60
"""Display columns of an account's name in a subject that is too wide with all of it."""
WIDEST_NAME = 200
"""Display columns of an account's name anywhere in a mail."""
FOOTER_SAYS = ("company.name", "company.postal_address", "unsubscribe_url")
"""The values that every footer must print."""


class Renderer:
    """Renders mails from the templates as they are when it is made; each is compiled once."""

    def __init__(
        self, settings: Settings, *, is_preview: bool = False, templates: Templates | None = None
    ) -> None:
        """In a preview the unsubscribe link has no effect, so that a colleague who clicks it
        suppresses nobody.

        `templates` were read before; where left out, the folder is read.
        """
        self._settings = settings
        self._folder = templates or Templates(settings.folder("email_templates"))
        self._company = settings.company
        self._tokens = AnswerTokens(token_keys(settings)) if settings.mailbox.is_read else None
        self._unsubscribe = UnsubscribeAddress(
            settings.unsubscribe, settings.answer_address, self._tokens
        )
        self._is_preview = is_preview
        self._template = cache(self._folder.template)
        self._footer = cache(self._folder.footer)

    def texts(self, trigger: str, steps: Iterable[str]) -> dict[str, dict[str, str]]:
        """The present texts of steps, by step and locale. Raises TemplateError."""
        return {step: self._folder.texts(trigger, step) for step in steps}

    @property
    def templates(self) -> Templates:
        """The templates that it renders."""
        return self._folder

    def keeping(self, trigger: str, texts: Mapping[str, Mapping[str, str]]) -> Renderer:
        """A renderer in which these texts (by step and locale) replace files that are gone; itself
        where no file is."""
        if all(self._folder.locales(trigger, step) for step in texts):
            return self
        templates = self._folder.keeping(trigger, texts)
        return Renderer(self._settings, is_preview=self._is_preview, templates=templates)

    def choose_locale(
        self,
        trigger: str,
        step: str,
        contact_locale: str | None,
        account_locale: str | None,
        trigger_locale: str | None = None,
    ) -> tuple[str, LocaleSource]:
        """The language of a mail and its source: the contact's, else the account's, else the
        company's.

        `en` matches `en-US`. A language without a template of the step is skipped. A trigger's own
        `locale` is the only choice. Raises TemplateError when there is no template in it, or none
        in the company's language.
        """
        available = self._folder.locales(trigger, step)
        if trigger_locale is not None:
            if chosen := nearest(trigger_locale, available):
                return chosen, "trigger"
            raise TemplateError([self._folder.missing(f"{trigger}/{step}", trigger_locale)])
        wishes: tuple[tuple[str | None, LocaleSource], ...] = (
            (contact_locale, "contact"),
            (account_locale, "account"),
            (self._company.locale, "company"),
        )
        for locale, source in wishes:
            if chosen := nearest(locale, available):
                return chosen, source
        raise TemplateError([self._folder.missing(f"{trigger}/{step}", self._company.locale)])

    def render(
        self,
        *,
        send_id: str,
        trigger: str,
        step: str,
        locale: str,
        account: Mapping[str, Any],
        contact: Mapping[str, Any],
        date: datetime,
    ) -> Message:
        """Render one mail to one contact. `locale` is a result of `choose_locale`; `account` and
        `contact` are rows of account_360 and dim_contacts.

        `date` is when the mail may leave: columns that count days are of that day.
        Raises TemplateError with the file, the line and the value at fault.
        """
        template = self._template(trigger, step, locale)
        account = self._on_the_day(account, date)
        name = str(account.get("name") or "")
        account["name"] = shortened(name, WIDEST_NAME)
        unsubscribe_url = self._unsubscribe.url(NO_SEND if self._is_preview else send_id)
        values = {
            "account": Values("account", account),
            "contact": Values("contact", contact),
            "company": self._company_values,
        }
        shorter = {**account, "name": shortened(name, NAME_IN_SUBJECT)}
        subject = _subject(template, values, {**values, "account": Values("account", shorter)})
        body = template.body.render(values).strip("\n")
        footer = self._signed_off(locale, {**values, "unsubscribe_url": unsubscribe_url})
        owner = _on_the_wire(account.get("owner_email") or "")
        try:
            return Message(
                send_id=send_id,
                from_name=self._company.name,
                from_email=_on_the_wire(self._company.from_email),
                to_name=values["contact"]["name"] or "",
                to_email=_on_the_wire(contact["email"]),
                reply_to=self._reply_to(send_id, values["account"]["owner_name"] or "", owner),
                subject=subject,
                body=wrap(f"{body}\n\n{footer}\n"),
                date=date,
                list_unsubscribe=unsubscribe_url,
                locale=locale,
                trigger=trigger,
                step=step,
            )
        except ValueError as error:
            raise TemplateError([Problem(template.file, None, str(error))]) from None

    def _reply_to(self, send_id: str, owner: str, owner_email: str) -> tuple[str, str] | None:
        """Who gets an answer: the mailbox, which hears it and passes it on; without one the
        account's owner."""
        if self._tokens is None:
            return (owner, owner_email) if is_address(owner_email) else None
        address = _on_the_wire(self._settings.answer_address)
        if self._settings.mailbox.subaddress and not self._is_preview:
            local, _, domain = address.rpartition("@")
            address = f"{local}+{self._tokens.token(send_id)}@{domain}"
        return self._company.name, address

    def counts_days(self, trigger: str, step: str, locale: str) -> bool:
        """Whether a mail names a number of days that is another one tomorrow.

        Raises TemplateError.
        """
        used = self._template(trigger, step, locale).uses() | self._footer(locale).uses()
        return any(f"account.{column}" in used for column in self._counting)

    @cached_property
    def _counting(self) -> dict[str, int]:
        """The columns of accounts that count days: by how much one is more with each day."""
        step = {"since": 1, "until": -1}
        return {
            name: step[column.counts_days]
            for name, column in account_columns().items()
            if column.counts_days
        }

    def _on_the_day(self, account: Mapping[str, Any], date: datetime) -> dict[str, Any]:
        """A row of account_360 as it is on the account's day on which a mail leaves."""
        as_of, zone = account.get("as_of"), account.get("time_zone")
        if as_of is None or zone is None:
            return dict(account)
        here = ZoneInfo(zone)
        seen_on = as_of.replace(tzinfo=UTC).astimezone(here).date()
        later = (date.astimezone(here).date() - seen_on).days
        moved = {
            name: account[name] + step * later
            for name, step in self._counting.items()
            if account.get(name) is not None
        }
        return {**account, **moved}

    def choose_list_locale(self, owner_locale: str | None) -> tuple[str, str]:
        """The language of an owner's list and its source: the owner's, the company's, or English.

        Raises TemplateError where there is no list in any of them.
        """
        available = self._folder.steps.get((OWNER_LIST, MORNING), {})
        wishes = ((owner_locale, "owner"), (self._company.locale, "company"), ("en", "default"))
        for locale, source in wishes:
            if chosen := nearest(locale, available):
                return chosen, source
        missing = self._folder.missing(f"{OWNER_LIST}/{MORNING}", self._company.locale)
        raise TemplateError([missing])

    def render_list(
        self,
        *,
        send_id: str,
        locale: str,
        owner: Mapping[str, Any],
        news: Mapping[str, Any],
        date: datetime,
    ) -> Message:
        """The list of one account owner: `owner` has name and email, `news` is `list` there.

        Raises TemplateError as `render` does.
        """
        template = self._template(OWNER_LIST, MORNING, locale)
        accounts = [Values("account", account) for account in news["accounts"]]
        values = {
            "owner": Values("owner", owner),
            "list": Values("list", {**news, "accounts": accounts}),
            "company": self._company_values,
        }
        subject = _subject(template, values)
        try:
            return Message(
                send_id=send_id,
                from_name=self._company.name,
                from_email=_on_the_wire(self._company.from_email),
                to_name=owner["name"],
                to_email=_on_the_wire(owner["email"]),
                reply_to=None,
                subject=subject,
                body=wrap(template.body.render(values).strip("\n") + "\n"),
                date=date,
                list_unsubscribe=None,
                locale=locale,
                trigger=OWNER_LIST,
                step=MORNING,
            )
        except ValueError as error:
            raise TemplateError([Problem(template.file, None, str(error))]) from None

    def _signed_off(self, locale: str, values: Mapping[str, Any]) -> str:
        footer = self._footer(locale)
        text = footer.render(values).strip("\n")
        texts = (self._company.name, self._company.postal_address, values["unsubscribe_url"])
        for name, must in zip(FOOTER_SAYS, texts, strict=True):
            if one_line(must) not in text:
                raise TemplateError([Problem(footer.file, None, f"does not print {name}")])
        return text

    @cached_property
    def _company_values(self) -> Values:
        return Values("company", self._company.model_dump())


def _subject(
    template: Template, values: Mapping[str, Any], shorter: Mapping[str, Any] | None = None
) -> str:
    """The subject; with the `shorter` values where it is too wide with the others."""
    subject = one_line(template.subject.render(values))
    if shorter is not None and width(subject) > WIDEST_SUBJECT:
        subject = one_line(template.subject.render(shorter))
    if not subject or width(subject) > WIDEST_SUBJECT:
        what = f"the subject is {width(subject)} columns wide, not 1 to {WIDEST_SUBJECT}"
        raise TemplateError([Problem(template.file, template.subject.line, what)])
    return subject


def _on_the_wire(address: str) -> str:
    """The address in its wire form: an internationalised domain as punycode."""
    if address.isascii():
        return address
    try:
        validated = validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return address
    return validated.ascii_email or address
