"""Who the company is, who of it is told, and whom it may mail."""

from __future__ import annotations

import pycountry
from email_validator import EmailNotValidError, validate_email
from pydantic import Field, SecretStr, field_validator

from lifecycle import consent
from lifecycle.settings.section import Section, known_zone


class Company(Section):
    """Who the mail is from: printed in every mail."""

    name: str = Field(min_length=1, description="the name that customers know")
    from_email: str = Field(description="the sender's address")
    postal_address: str = Field(
        min_length=1, description="the postal address on one line; the law asks for it in each mail"
    )
    contact: str = Field(min_length=1, description="how a customer reaches a person")
    country: str = Field("JP", description="ISO 3166 code; its public holidays are the company's")
    time_zone: str = Field(
        "Asia/Tokyo", description="IANA name; used for accounts without a time zone"
    )
    locale: str = Field("ja", description="used for people and accounts without a locale")

    @field_validator("from_email")
    @classmethod
    def _address(cls, value: str) -> str:
        try:
            return validate_email(
                value, check_deliverability=False, test_environment=True
            ).normalized
        except EmailNotValidError as error:
            raise ValueError(f"{value!r} is not an e-mail address: {error}") from None

    @field_validator("country")
    @classmethod
    def _country(cls, value: str) -> str:
        if pycountry.countries.get(alpha_2=value) is None:
            raise ValueError(f"{value!r} is not an ISO 3166 country code such as JP or GB")
        return value

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        return known_zone(value)


class Owners(Section):
    """The morning list of each account owner: what is new on their accounts."""

    morning_list: bool = Field(True, description="send it on the company's business days")
    hour: int = Field(8, ge=0, le=23, description="the earliest hour, in the company's time zone")
    locales: dict[str, str] = Field(
        default_factory=dict,
        description="address = language; else the one that most of the owner's accounts speak",
    )


class Consent(Section):
    """Which words of `consent_basis` are a consent; every other one is none."""

    bases: list[str] = Field(
        list(consent.BASES), description="compared without case, full width, blanks and signs"
    )

    @field_validator("bases")
    @classmethod
    def _no_refusal(cls, value: list[str]) -> list[str]:
        if wrong := [word for word in value if consent.never_counts(word)]:
            raise ValueError(f"{', '.join(map(repr, wrong))} can be no consent: it says no")
        return value


class Privacy(Section):
    """What is kept of people who were erased."""

    erasure_key: SecretStr = Field(
        SecretStr(""),
        description="key of the hashes that keep them suppressed, at least 32 characters; older"
        " keys follow, separated by spaces, and stay",
    )

    @field_validator("erasure_key")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        newest = value.get_secret_value().split()[:1]
        if newest and len(newest[0]) < 32:
            raise ValueError(
                "the key has at least 32 characters and no space; make one with `python -c "
                "'import secrets; print(secrets.token_hex(32))'`. Where people were erased under "
                "a shorter key, that one follows after a space"
            )
        return value
