"""Checks the templates before any mail is rendered: `lifecycle validate`."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from lifecycle.authoring.sample_rows import empty, mail_values, sample
from lifecycle.errors import Problem, TemplateError, did_you_mean
from lifecycle.mail.folder import Templates, nearest
from lifecycle.mail.render import FOOTER_SAYS
from lifecycle.mail.template import Names
from lifecycle.settings import Company, Settings
from lifecycle.template_names import LIST_NAMES, MORNING, OWNER_LIST, OWNER_NAMES
from lifecycle.triggers.columns import Columns, account_columns, contact_columns
from lifecycle.triggers.model import Trigger


def check_templates(
    settings: Settings,
    triggers: Iterable[tuple[str, Sequence[str]]],
    of_accounts: Iterable[str],
    of_contacts: Iterable[str],
    of_one_language: Container[str] = (),
    templates: Templates | None = None,
) -> list[Problem]:
    """Everything wrong in the template folder, file by file; empty when all is well.

    `templates` are files that were read before; else the folder is read.

    `triggers` are names with the ids of their steps, the columns those of account_360 and
    dim_contacts; where their types are known too (`Columns`), every mail is also filled with a
    sample of each type. Every step needs the company's locale, and every locale that another step
    of its trigger has, unless the trigger is `of_one_language`. A file that no step uses is a
    problem too: most are misspelt.
    """
    templates = templates or Templates(settings.folder("email_templates"))
    names = mail_names(of_accounts, of_contacts)
    samples = None
    if isinstance(of_accounts, Columns) and isinstance(of_contacts, Columns):
        rows = sample(of_accounts), sample(of_contacts)
        samples = mail_values(*rows, settings.company)
    expected = {(trigger, step) for trigger, steps in triggers for step in steps}
    lists = {(OWNER_LIST, MORNING)}
    list_names: Names = {"owner": OWNER_NAMES, "list": LIST_NAMES, "company": names["company"]}
    return [
        *_absent(
            templates,
            {step for step in expected if step[0] not in of_one_language},
            settings.company.locale,
        ),
        *_unused(templates, expected | lists),
        *_wrong(templates, expected, names, samples),
        *_wrong(templates, lists, list_names),
        *_footers(templates, expected, names, samples),
    ]


def mail_names(of_accounts: Iterable[str], of_contacts: Iterable[str]) -> Names:
    """The names that a mail to a customer may use, besides `unsubscribe_url` in its footer."""
    return {
        "account": frozenset(of_accounts),
        "contact": frozenset(of_contacts),
        "company": frozenset(Company.model_fields),
    }


def wrong_mails(
    templates: Templates,
    trigger: str,
    steps: Iterable[str],
    names: Names,
    samples: Mapping[str, Any] | None = None,
) -> Iterator[Problem]:
    """What is wrong with the mails of a trigger's steps in any language, whoever gets them.

    `samples` are values of the right types to fill them with, where these are known.
    """
    for step in steps:
        for locale in templates.locales(trigger, step):
            try:
                template = templates.template(trigger, step, locale)
            except TemplateError as error:
                yield from error.problems
                continue
            problems = template.problems(names)
            if not problems and samples is not None:
                problems = template.misprints(samples)
            yield from problems


def empty_values(
    templates: Templates, triggers: Iterable[Trigger], company: Company
) -> Iterator[Problem]:
    """Mails that print a value which some accounts or contacts do not have: these get none.

    Each step in each language is filled with nulls, but for what its trigger's conditions ask of
    everybody who gets it.
    """
    for trigger in triggers:
        asked = trigger.audience.columns
        for step in trigger.steps:
            of_step = asked | (step.when.columns if step.when else frozenset())
            account = empty(account_columns(), of_step)
            contact = empty(contact_columns(), trigger.recipients.columns)
            values = mail_values(account, contact, company)
            for locale in templates.locales(trigger.name, step.id):
                try:
                    template = templates.template(trigger.name, step.id, locale)
                    template.subject.render(values)
                    template.body.render(values)
                except TemplateError as error:
                    yield from error.problems


def _absent(
    templates: Templates, expected: set[tuple[str, str]], company_locale: str
) -> Iterator[Problem]:
    for trigger, step in sorted(expected):
        have = templates.steps.get((trigger, step), {})
        if nearest(company_locale, have) is None:
            yield templates.missing(
                f"{trigger}/{step}", company_locale, "every step needs the company's locale"
            )
        elsewhere = {
            locale: other
            for of, other in sorted(expected)
            if of == trigger
            for locale in templates.steps.get((of, other), {})
        }
        for locale in sorted(set(elsewhere) - set(have)):
            if nearest(company_locale, [locale]) is None:
                yield templates.missing(
                    f"{trigger}/{step}", locale, f"the step {elsewhere[locale]} speaks {locale}"
                )


def _unused(templates: Templates, expected: set[tuple[str, str]]) -> Iterator[Problem]:
    known = {f"{trigger}/{step}" for trigger, step in expected}
    for (trigger, step), files in templates.steps.items():
        if (trigger, step) not in expected:
            for path in files.values():
                hint = did_you_mean(f"{trigger}/{step}", known)
                what = "belongs to no step of a trigger"
                yield Problem(templates.name(path), None, what, hint, stops_a_run=False)
    for path in templates.strays:
        yield Problem(
            templates.name(path),
            None,
            "is not a template",
            "they are called <trigger>/<step>.<locale>.txt and _footer.<locale>.txt",
            stops_a_run=False,
        )


def _wrong(
    templates: Templates,
    expected: set[tuple[str, str]],
    names: Names,
    samples: Mapping[str, Any] | None = None,
) -> Iterator[Problem]:
    for trigger, step in sorted(expected):
        yield from wrong_mails(templates, trigger, [step], names, samples)


def _footers(
    templates: Templates,
    expected: set[tuple[str, str]],
    names: Names,
    samples: Mapping[str, Any] | None,
) -> Iterator[Problem]:
    spoken = {locale for step in expected for locale in templates.steps.get(step, {})}
    for locale in sorted(spoken):
        if nearest(locale, templates.footers) is None:
            yield templates.missing("_footer", locale, "every mail ends with it")
    for locale in sorted(templates.footers):
        try:
            footer = templates.footer(locale)
        except TemplateError as error:
            yield from error.problems
            continue
        wrong = list(footer.problems({**names, "unsubscribe_url": None}))
        if not wrong and samples is not None:
            wrong = list(footer.misprints(samples))
        yield from wrong
        if not wrong:
            for name in FOOTER_SAYS:
                if name not in footer.uses():
                    yield Problem(footer.file, None, f"does not print {name}", "every mail must")
