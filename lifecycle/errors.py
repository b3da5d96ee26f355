"""All that can go wrong, and the exit status each leaves.

LifecycleError                      1  the run failed: nothing is wrong with the input
├── WarehouseError                  1  an SQL, lock or disk error in the warehouse
│   └── NothingPublished            1  no run, or not the last one, has passed both gates
├── LedgerError                     1  the ledger cannot be read or written
├── DeliveryError                   1  a mail provider cannot be used
│   └── NothingTaken                1  it took none of the mails that it was offered
├── AlreadyRunning                  1  another run is working in this state folder
├── FitError                        1  the parameters of a score cannot be fitted
├── InputError                      2  somebody wrote something that cannot be used
│   ├── SettingsError               2  lifecycle.toml or LIFECYCLE__… in the environment
│   ├── SourceError                 2  an unreadable file, a missing column
│   ├── TriggerError                2  a trigger file
│   ├── TemplateError               2  a mail template
│   ├── SuiteError                  2  an expectations file
│   ├── UnknownName                 2  an account or a trigger that does not exist
│   ├── NewerVersion                2  a state folder that a newer version wrote
│   └── ClockError                  2  an as-of that this state folder cannot go back to
└── Stopped                         3  the run stopped before it sent anything
    ├── GateStopped                 3  the data is not to be trusted
    │   └── DeliveryHeld            3  it is too far from the last one to go without an approval
    ├── OverBudget                  3  it reaches too many people to go without an approval
    └── LossesHeld                  3  it would end too much at once to go without an approval

A message says where, what is wrong, and what was probably meant. Secrets in it are hidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from lifecycle.masking import hide_secrets


class LifecycleError(Exception):
    """The run failed for a reason that is not the input's."""

    exit_status = 1
    says_all = False
    """Whether the message is all there is to know: a traceback would only frighten."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(hide_secrets(arg) if isinstance(arg, str) else arg for arg in args))


class WarehouseError(LifecycleError):
    """An SQL, lock or disk error in the warehouse."""


class NothingPublished(WarehouseError):
    """No run of this state folder has passed both gates yet, or the last one has not."""

    says_all = True


class LedgerError(LifecycleError):
    """The ledger cannot be read or written."""


class DeliveryError(LifecycleError):
    """A mail provider cannot be used."""


class NothingTaken(DeliveryError):
    """The provider took none of the mails that it was offered, however few they were."""

    says_all = True

    def __init__(self, why: str) -> None:
        super().__init__(
            f"nothing was taken: {why}. Mails that are queued go with the next delivery that "
            "works; `lifecycle status` lists the refusals, `lifecycle retry` queues again what "
            "was rejected by mistake"
        )


class AlreadyRunning(LifecycleError):
    """Another run is working in this state folder."""

    says_all = True


class PrefectEnded(LifecycleError):
    """Prefect's API, which a command started for itself, ended before the command."""


class FitError(LifecycleError):
    """The parameters of a score cannot be fitted to the data there is."""


class InputError(LifecycleError):
    """Somebody wrote something that cannot be used."""

    exit_status = 2
    says_all = True


class SettingsError(InputError):
    """`lifecycle.toml`, or a `LIFECYCLE__…` variable."""


class SourceError(InputError):
    """A file that cannot be read, or that lacks a required column."""


class ClockError(InputError):
    """An as-of that this state folder cannot go back to."""


class NewerVersion(InputError):
    """A state folder, or a backup, that a newer version wrote: nothing of it was touched."""

    def __init__(self, text: str, what: str = "") -> None:
        self.what = what
        """The text without whose ledger it is about."""
        super().__init__(text)


class UnknownName(InputError):
    """An account or a trigger that does not exist."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a file that CS ops wrote: where, what, and what was probably meant."""

    file: str
    line: int | None
    what: str
    hint: str = ""
    stops_a_run: bool = True
    """True: the trigger that it is about waits, or no run begins where it is about all of them.
    False: untidy, but no mail can go wrong by it."""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        text = f"{place}: {self.what}" + (f" ({self.hint})" if self.hint else "")
        return text if self.stops_a_run else f"{text}; no run stops for this"


class Problems(InputError):
    """Several problems of one file or folder, reported together."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: Sequence[Problem] = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class TriggerError(Problems):
    """A trigger file."""


class TemplateError(Problems):
    """A mail template."""


class SuiteError(Problems):
    """An expectations file."""


class Stopped(LifecycleError):
    """The run stopped before it sent anything."""

    exit_status = 3
    says_all = True


class OverBudget(Stopped):
    """The run reaches so many people that a person has to approve it, or nobody would."""


class GateStopped(Stopped):
    """The data is not to be trusted. Nothing was planned and nothing was sent."""

    def __init__(self, door: str, failures: Sequence[str]) -> None:
        self.door = door
        self.failures = tuple(failures)
        super().__init__(
            f"stopped at the {door} gate, nothing was sent:\n"
            + "\n".join(f"  - {failure}" for failure in self.failures)
        )


class DeliveryHeld(GateStopped):
    """The delivery is so far from the last published one that a person has to let it through."""

    def __init__(self, door: str, failures: Sequence[str], ask: str) -> None:
        super().__init__(door, failures)
        self.args = (f"{self.args[0]}\n{ask}",)


class LossesHeld(Stopped):
    """By the newest delivery so much would end for good that a person has to approve it."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean "x"?` for the nearest known word, or an empty string."""
    near = get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f'did you mean "{near[0]}"?' if near else ""
