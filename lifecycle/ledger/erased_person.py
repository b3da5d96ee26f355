"""A person who is being erased: what tells who they are, and what takes its place."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property

from lifecycle.ledger import suppressions

GONE = "(erased)"
"""What takes the place of a name in a text."""
SHORTEST_ID = 5
"""Digits of an id that is looked for in texts: shorter ones are everybody's numbers."""
SHORTEST_NAME = 3


@dataclass(frozen=True)
class Person:
    """The addresses, contact ids, names and accounts of one person."""

    forms: tuple[str, ...]
    """The address as CRM and mail servers may write it, normalised."""
    key: str
    """`[privacy] erasure_key`."""
    contact_ids: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    """Accounts that they belong to or own."""

    @classmethod
    def of(cls, address: str, key: str) -> Person:
        """The person with that address, of whom nothing else is known yet."""
        spellings = {
            spelling
            for form in suppressions.forms(address)
            for spelling in (
                form,
                unicodedata.normalize("NFC", form),
                unicodedata.normalize("NFD", form),
                unicodedata.normalize("NFKC", form),
            )
        }
        kept = {form for form in spellings if len(form) <= suppressions.LONGEST_ADDRESS}
        return cls(tuple(sorted(kept)), key)

    @cached_property
    def hashed(self) -> str:
        """What stays of the address where it was an id."""
        return suppressions.digest(self.forms[0], self.key)

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Form: its keyed hash."""
        return {form: suppressions.digest(form, self.key) for form in self.forms}

    def pseudonym(self, contact_id: str) -> str:
        """What stays of one of their ids."""
        return suppressions.digest(contact_id, self.key)

    def is_address(self, text: str) -> bool:
        """Whether a text is the address, alone."""
        return suppressions.normalized(text) in self.forms

    def has_address(self, text: str) -> bool:
        """Whether the address stands in a text, alone or inside."""
        return self._address.search(text) is not None

    def is_in(self, text: str) -> bool:
        """Whether a text tells who they are by address, id or name."""
        return any(pattern.search(text) for pattern, _ in self._patterns)

    def without_address(self, text: str) -> str:
        """The text with the hash in the place of the address."""
        return self._address.sub(self.hashed, text)

    def without(self, text: str) -> str:
        """The text without address, ids and names."""
        for pattern, instead in self._patterns:
            text = pattern.sub(instead, text)
        return text

    @cached_property
    def needles(self) -> list[str]:
        """Lower-case pieces of which one stands in every text that `is_in` knows: for a first look
        by a database, whose idea of a capital letter may be ASCII's."""
        texts = [*self._spelled(self.forms), *self._spelled({*self._ids, *self._full_names})]
        return sorted({_longest_ascii(text.lower()) for text in texts})

    @cached_property
    def _address(self) -> re.Pattern[str]:
        return _as_address(self._spelled(self.forms))

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], str]]:
        patterns = [(self._address, self.hashed)]
        for contact_id in sorted(self._ids):
            # A number gives way to one of as many digits: it may stand in JSON.
            is_number = contact_id.isdigit()
            instead = "9" * len(contact_id) if is_number else self.pseudonym(contact_id)
            patterns.append((_as_word(self._spelled([contact_id])), instead))
        if self._full_names:
            patterns.append((_as_word(self._spelled(self._full_names), re.IGNORECASE), GONE))
        return patterns

    @cached_property
    def _ids(self) -> set[str]:
        """Their ids that no other word is; an address is looked for as one."""
        return {
            contact_id
            for contact_id in self.contact_ids
            if not self.is_address(contact_id)
            and (len(contact_id) >= SHORTEST_ID or not contact_id.isdigit())
            and len(contact_id) > 1
        }

    @cached_property
    def _full_names(self) -> set[str]:
        """Names that are no common word: of two words, or in another script."""
        return {
            name
            for name in self.names
            if len(name) >= SHORTEST_NAME and (not name.isascii() or " " in name)
        }

    @staticmethod
    def _spelled(texts: Iterable[str]) -> list[str]:
        """Texts as they stand in JSON and in HTML too, the longest first."""
        spellings = {
            spelled
            for text in texts
            for spelled in (
                text,
                json.dumps(text)[1:-1],
                html.escape(text),
                text.replace("@", "%40"),
            )
        }
        return sorted(spellings, key=lambda text: (-len(text), text))


def _as_address(spellings: Collection[str]) -> re.Pattern[str]:
    either = "|".join(map(re.escape, spellings))
    return re.compile(rf"(?<![\w.+-])(?:{either})(?![\w-]|\.\w)", re.IGNORECASE)


def _as_word(spellings: Collection[str], flags: int = 0) -> re.Pattern[str]:
    """Words by themselves; a script without blanks needs none around."""
    words = (
        (r"(?<![A-Za-z0-9_-])" if text[:1].isascii() else "")
        + re.escape(text)
        + (r"(?![A-Za-z0-9_-])" if text[-1:].isascii() else "")
        for text in spellings
    )
    return re.compile("|".join(words), flags)


def _longest_ascii(text: str) -> str:
    """The longest run of ASCII in a text; the text itself where it has none worth a look."""
    runs = re.findall(r"[\x20-\x7e]+", text)
    longest = max(runs, key=len, default="")
    return longest if len(longest) >= SHORTEST_NAME else text
