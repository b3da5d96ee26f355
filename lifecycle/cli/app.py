"""The Typer app, its context, the options that many commands share, and how a command answers.

Standard output carries the answer, standard error everything else. What a command needs is
imported when it runs: a help text must not wait for a warehouse.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from lifecycle.cli import answer
from lifecycle.errors import LifecycleError

if TYPE_CHECKING:
    from lifecycle.document import Document
    from lifecycle.ledger.store import Ledger
    from lifecycle.settings import Settings

Function = TypeVar("Function", bound=Callable[..., Any])


class _App(typer.Typer):
    """A Typer app whose commands write only their answer to standard output."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[Function], Function]:
        return super().command(name, cls=answer.Command, **options)


app = _App(
    name="lifecycle",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Customer lifecycle automation: one gated daily run, and what it did and why.",
)

AsJson = Annotated[
    bool,
    typer.Option(
        "--json", metavar="", help="Print one JSON object, and nothing else, to standard output."
    ),
]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="TIME",
        help="Use the data as of that moment: '2011-12-09 13:00 UTC', '2026-06-10T10:00+09:00' or "
        "a day. Without a zone it is UTC.",
    ),
]
By = Annotated[str, typer.Option(metavar="WHO", help="Who decided: a name or a ticket.")]
Why = Annotated[str, typer.Option(metavar="TEXT", help="The reason; the ledger keeps it.")]
ATrigger = Annotated[
    str, typer.Argument(metavar="TRIGGER", help="The trigger's name: its file without .yaml.")
]
AnAccount = Annotated[
    str,
    typer.Argument(metavar="ACCOUNT", help="The account's id, its name, or a part of its name."),
]


@dataclass(frozen=True)
class CliContext:
    """The options given before the command: `lifecycle --config FILE run`."""

    config: Path | None

    def settings(self, **override: Any) -> Settings:
        """Load the settings. From then on, a failure leaves its traceback in the state folder."""
        from lifecycle import settings
        from lifecycle.private_files import keep_private

        loaded = settings.load(self.config, **override)
        keep_private(loaded.state_dir)
        _failures.log = loaded.state_dir / "logs" / "lifecycle.log"
        return loaded

    @property
    def config_path(self) -> str | None:
        """The absolute path of `config`, for a flow that may run in another folder."""
        return str(self.config.absolute()) if self.config else None

    @contextmanager
    def ledger(self) -> Iterator[tuple[Settings, Ledger]]:
        """The settings and the open ledger."""
        from lifecycle.ledger.store import Ledger

        settings = self.settings()
        with Ledger.open(settings.ledger_url) as ledger:
            yield settings, ledger


@dataclass
class _Failures:
    """The log that gets the traceback of a failure; None until the settings are loaded."""

    log: Path | None = None


_failures = _Failures()


@dataclass
class _Ending:
    at_once: bool = False


_ending = _Ending()


def _version(is_asked_for: bool) -> None:
    if is_asked_for:
        from importlib.metadata import version

        typer.echo(f"lifecycle {version('lifecycle')}")
        raise typer.Exit


@app.callback()
def _before(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="The lifecycle.toml to use; else LIFECYCLE_CONFIG, else the one in this folder.",
            show_default=False,
        ),
    ] = None,
    _: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", callback=_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    context.obj = CliContext(config)


def show(
    as_data: Callable[[], dict[str, Any]], as_document: Callable[[], Document], as_json: bool
) -> None:
    if as_json:
        answer.write_json(as_data())
        return
    from rich.console import Console

    from lifecycle.document import as_rich, as_text

    console = Console(file=answer.stream(), highlight=False)
    if console.is_terminal:
        console.print(as_rich(as_document()), crop=False)
    else:
        answer.write(as_text(as_document(), width=console.width))


def say(sentence: str, as_data: dict[str, Any], as_json: bool) -> None:
    """Print what a command did: a sentence for a person, or an object for a machine."""
    if as_json:
        answer.write_json(as_data)
    else:
        answer.write(sentence)


def main() -> NoReturn:
    """The console script. The exit status says how it ended: see lifecycle/errors.py."""
    try:
        app()
    except LifecycleError as error:
        _fail(error, error.exit_status)
    except KeyboardInterrupt:
        typer.echo("Interrupted. Run again to go on: nothing is sent twice.", err=True)
        sys.exit(130)
    except Exception as error:
        _fail(error, 1)
    except SystemExit as ended:
        if not _ending.at_once:
            raise
        _leave(ended.code if isinstance(ended.code, int) else 1)
    _leave(0)


def exit_at_once() -> None:
    """End the process with the command, without waiting for what libraries do when Python ends."""
    _ending.at_once = True


def _leave(exit_status: int) -> NoReturn:
    if not _ending.at_once:
        sys.exit(exit_status)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_status)


def _fail(error: Exception, exit_status: int) -> NoReturn:
    """Print the error and exit; log the traceback where the message does not say all."""
    from lifecycle.masking import hide_secrets
    from lifecycle.outside_text import for_terminal

    message = str(error)
    if not isinstance(error, LifecycleError):
        message = hide_secrets(f"{type(error).__name__}: {error}")
    if full := _full_disk(error):
        message = (
            f"the disk of {full} is full ({message.splitlines()[0]}). Nothing is lost: free "
            "space, and run the command again; nothing is sent twice"
        )
    typer.echo(for_terminal(f"lifecycle: {message}"), err=True)
    says_all = isinstance(error, LifecycleError) and error.says_all
    if not says_all and _failures.log is not None:
        import traceback
        from datetime import UTC, datetime

        from lifecycle.masking import mask_addresses

        # Values of the command line may be somebody's address or name.
        words = [word.partition("=")[0] for word in sys.argv[2:] if word.startswith("-")]
        command = " ".join((*sys.argv[1:2], *words))
        when = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC {command}\n"
        try:
            _failures.log.parent.mkdir(parents=True, exist_ok=True)
            with _failures.log.open("a", encoding="utf-8") as log:
                log.write(mask_addresses(when + "".join(traceback.format_exception(error))))
        except OSError as why:
            typer.echo(f"Its traceback is lost: {_failures.log}: {why.strerror}", err=True)
        else:
            typer.echo(f"Traceback: {_failures.log}", err=True)
    _leave(exit_status)


LEAST_FREE = 100_000
"""Bytes. With less, a write of any part of the system may have failed for want of space."""


def _full_disk(error: BaseException) -> Path | None:
    """Return the folder whose disk is full, where that is what an error comes from.

    Libraries wrap a full disk in errors of their own (SQLite: "disk I/O error"), so the disk
    itself is asked.
    """
    if _failures.log is None:
        return None
    import shutil

    folder = _failures.log.parent.parent
    says_so = "No space left on device" in str(error) or "disk is full" in str(error)
    try:
        is_full = shutil.disk_usage(folder).free < LEAST_FREE
    except OSError:
        return None
    return folder if says_so or (is_full and not _is_input_error(error)) else None


def _is_input_error(error: BaseException) -> bool:
    return isinstance(error, LifecycleError) and error.exit_status != 1
