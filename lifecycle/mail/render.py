"""A decision becomes a Message: the right template, in the right language, with its footer.

A template may name `account` (columns of account_360), `contact` (columns of dim_contacts) and
`company` (section [company] of the settings); a footer also `unsubscribe_url`. The list of an
account owner names `owner`, `list` and `company` (lifecycle/planning/owner_news.py), and has no
footer: who works here cannot unsubscribe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache, cached_property
from typing import Any, Literal

from email_validator import EmailNotValidError, validate_email
from wcwidth import width

from lifecycle.addresses import is_address
from lifecycle.errors import Problem, TemplateError
from lifecycle.ledger.tables import MORNING, OWNER_LIST
from lifecycle.mail.folder import Templates, nearest
from lifecycle.mail.message import Message, one_line
from lifecycle.mail.sandbox import Values
from lifecycle.mail.template import Template
from lifecycle.mail.unsubscribe import NO_SEND, UnsubscribeAddress
from lifecycle.mail.wrap import wrap
from lifecycle.settings import Settings

LocaleSource = Literal["trigger", "contact", "account", "company"]

WIDEST_SUBJECT = 200
"""Display columns. Mail clients show some 70; more is an accident."""
FOOTER_SAYS = ("company.name", "company.postal_address", "unsubscribe_url")
"""What a footer cannot leave out."""


class Renderer:
    """Renders mails from the templates as they are when it is made; each is compiled once."""

    def __init__(
        self, settings: Settings, *, rehearsal: bool = False, templates: Templates | None = None
    ) -> None:
        """In a rehearsal the mails' way out leads nowhere: who looks at one must not leave.

        `templates` are files that were read before; else the folder is read.
        """
        self._settings = settings
        self._folder = templates or Templates(settings.folder("email_templates"))
        self._company = settings.company
        self._unsubscribe = UnsubscribeAddress(settings)
        self._rehearsal = rehearsal
        self._template = cache(self._folder.template)
        self._footer = cache(self._folder.footer)

    def texts(self, trigger: str, steps: Iterable[str]) -> dict[str, dict[str, str]]:
        """What the mails of steps say now, by step and locale. Raises TemplateError."""
        return {step: self._folder.texts(trigger, step) for step in steps}

    @property
    def templates(self) -> Templates:
        """The files that it renders."""
        return self._folder

    def keeping(self, trigger: str, texts: Mapping[str, Mapping[str, str]]) -> Renderer:
        """A renderer for which these texts (by step and locale) stand in for files that are
        gone; this one where none is."""
        if all(self._folder.locales(trigger, step) for step in texts):
            return self
        templates = self._folder.keeping(trigger, texts)
        return Renderer(self._settings, rehearsal=self._rehearsal, templates=templates)

    def choose_locale(
        self,
        trigger: str,
        step: str,
        contact_locale: str | None,
        account_locale: str | None,
        trigger_locale: str | None = None,
    ) -> tuple[str, LocaleSource]:
        """The language of a mail, and whose it is: the contact's, else the account's, else ours.

        Of each, `en` will do for `en-US`; one that the step has no template for is passed over.
        A trigger's own leaves no choice. Raises TemplateError when that, or not even the
        company's, is there.
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
        """One mail to one contact. `locale` is of `choose_locale`, `account` and `contact` are
        rows of account_360 and dim_contacts.

        Raises TemplateError that names the file, the line and the value that stands against it.
        """
        template = self._template(trigger, step, locale)
        unsubscribe_url = self._unsubscribe.url(NO_SEND if self._rehearsal else send_id)
        values = {
            "account": Values("account", account),
            "contact": Values("contact", contact),
            "company": self._company_values,
        }
        subject = _subject(template, values)
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
                reply_to=(values["account"]["owner_name"] or "", owner)
                if is_address(owner)
                else None,
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

    def choose_list_locale(self, owner_locale: str | None) -> tuple[str, str]:
        """The language of an owner's list, and whose it is: the owner's, ours, or English.

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


def _subject(template: Template, values: Mapping[str, Any]) -> str:
    subject = one_line(template.subject.render(values))
    if not subject or width(subject) > WIDEST_SUBJECT:
        what = f"the subject is {width(subject)} columns wide, not 1 to {WIDEST_SUBJECT}"
        raise TemplateError([Problem(template.file, template.subject.line, what)])
    return subject


def _on_the_wire(address: str) -> str:
    """The address as mail servers know it: a domain beyond ASCII as punycode."""
    if address.isascii():
        return address
    try:
        validated = validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return address
    return validated.ascii_email or address
