"""The base of all sections, and the rules that several of them share."""

from __future__ import annotations

from ipaddress import ip_address
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict

from lifecycle.errors import did_you_mean


class Section(BaseModel):
    """A section of the file: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def known_zone(value: str) -> str:
    """An IANA time zone. Raises ValueError with the nearest one."""
    zones = available_timezones()
    if value not in zones:
        raise ValueError(
            f"unknown time zone {value!r}; {did_you_mean(value, zones) or 'use an IANA name'}"
        )
    return value


def refuse_open_relay(host: str, tls: str, key: str) -> None:
    """Raise ValueError where mails would leave this machine without encryption."""
    if tls == "none" and host and not is_loopback(host):
        raise ValueError(f'{key} = "none" would send mails to {host} in the open')


def is_loopback(host: str) -> bool:
    """Whether what goes there stays on this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
