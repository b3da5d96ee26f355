"""The folder of templates: its files by trigger, step and language.

email_templates/<trigger>/<step>.<locale>.txt    one mail
email_templates/_footer.<locale>.txt             ends every mail in that language
email_templates/_owner_list/morning.<locale>.txt the list of an account owner; a company that has
                                                 none of its own has this project's
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from lifecycle.errors import Problem, TemplateError
from lifecycle.locales import LOCALE
from lifecycle.mail.template import Template, Text, parse_template, read_text
from lifecycle.settings import CHECKOUT
from lifecycle.template_names import MORNING, OWNER_LIST


class Templates:
    """A snapshot of the template folder's file list.

    Each file is read once, at its first use. So the checked text is the mailed text, whatever
    happens to the file meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps: dict[tuple[str, str], dict[str, Path]] = {}
        """By trigger and step: locale → file."""
        self.footers: dict[str, Path] = {}
        """Locale → file."""
        self.kept_texts: dict[tuple[str, str], Mapping[str, str]] = {}
        """Trigger and step whose file is gone: locale → the text that the ledger keeps."""
        self.strays: list[Path] = []
        """Files that are neither mails nor footers."""
        self._texts: dict[Path, str] = {}
        for path in sorted(folder.rglob("*")):
            if _is_file(path) and not path.name.startswith(".") and path.suffix != ".md":
                self._sort(path)
        if (OWNER_LIST, MORNING) not in self.steps:
            lists = CHECKOUT / "email_templates" / OWNER_LIST
            self.steps[OWNER_LIST, MORNING] = {
                path.name.split(".")[1]: path for path in sorted(lists.glob(f"{MORNING}.*.txt"))
            }

    def _sort(self, path: Path) -> None:
        *folders, name = path.relative_to(self.folder).parts
        step, _, locale = name.removesuffix(".txt").rpartition(".")
        if not name.endswith(".txt") or not step or not LOCALE.fullmatch(locale):
            self.strays.append(path)
        elif len(folders) == 1:
            self.steps.setdefault((folders[0], step), {})[locale] = path
        elif not folders and step == "_footer":
            self.footers[locale] = path
        else:
            self.strays.append(path)

    def keeping(self, trigger: str, texts: Mapping[str, Mapping[str, str]]) -> Templates:
        """A copy in which these texts (by step and locale) replace files that are gone."""
        removed = {
            step: texts_of_step
            for step, texts_of_step in texts.items()
            if (trigger, step) not in self.steps
        }
        templates = copy.copy(self)
        templates.kept_texts = {
            **self.kept_texts,
            **{(trigger, step): texts_of_step for step, texts_of_step in removed.items()},
        }
        return templates

    def locales(self, trigger: str, step: str) -> Collection[str]:
        """The languages in which a step has a mail."""
        return (self.steps.get((trigger, step)) or self.kept_texts.get((trigger, step), {})).keys()

    def texts(self, trigger: str, step: str) -> dict[str, str]:
        """The texts of a step's files by locale. Raises TemplateError when one cannot be read."""
        files = self.steps.get((trigger, step), {})
        return {locale: self._text(path) for locale, path in files.items()}

    def template(self, trigger: str, step: str, locale: str) -> Template:
        """Read one template. Raises TemplateError when it is missing or has no proper form."""
        path = self.steps.get((trigger, step), {}).get(locale)
        text = self.kept_texts.get((trigger, step), {}).get(locale)
        if path is None and text is not None:
            return parse_template(
                text, f"{self.folder.name}/{trigger}/{step}.{locale}.txt, as kept"
            )
        if path is None:
            raise TemplateError([self.missing(f"{trigger}/{step}", locale)])
        return parse_template(self._text(path), self.name(path))

    def footer(self, locale: str) -> Text:
        """Read the footer of a language. Raises TemplateError when there is none."""
        nearest_locale = nearest(locale, self.footers)
        if nearest_locale is None:
            raise TemplateError([self.missing("_footer", locale)])
        path = self.footers[nearest_locale]
        return Text(self.name(path), 1, self._text(path))

    def _text(self, path: Path) -> str:
        if path not in self._texts:
            self._texts[path] = read_text(path, self.name(path))
        return self._texts[path]

    def missing(self, what: str, locale: str, why: str = "") -> Problem:
        """The problem of a missing file."""
        return Problem(f"{self.folder.name}/{what}.{locale}.txt", None, "is missing", why)

    def name(self, path: Path) -> str:
        """The file's name in messages."""
        own = path.is_relative_to(self.folder.parent)
        return path.relative_to(self.folder.parent if own else CHECKOUT).as_posix()


def _is_file(path: Path) -> bool:
    try:
        # A dangling link counts as a file: reading it gives the error message.
        return path.is_file() or (path.is_symlink() and not path.exists())
    except OSError:
        return True


def nearest(wanted: str | None, available: Iterable[str]) -> str | None:
    """The best available locale: the same one, or its language (en for en-US, en_US)."""
    by_tag = {locale.lower(): locale for locale in available}
    tag = re.split("[.@]", wanted or "")[0].strip().replace("_", "-").lower()
    while tag:
        if tag in by_tag:
            return by_tag[tag]
        tag = tag.rpartition("-")[0]
    return None
