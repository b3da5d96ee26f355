"""Extracts the company's files at a commit from git into a temporary folder."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from lifecycle.child_environment import child_environment
from lifecycle.errors import InputError, Problem, SettingsError, TriggerError, did_you_mean
from lifecycle.settings import CHECKOUT, Settings, load
from lifecycle.warehouse.score_definition import PROJECT
from lifecycle.whatif.variant import Variant

OWN_FOLDERS = ("triggers", "email_templates")
SET_BY_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")


@contextmanager
def variant_at(ref: str, settings: Settings, config: Path) -> Iterator[Variant]:
    """Yield the variant of a branch, a tag or a commit; its files exist inside the `with` block.

    `config` is the lifecycle.toml of `settings`. Problems of the files at the ref become problems
    of the variant, not errors. Where the ref has no usable lifecycle.toml, the present settings
    stand in; where the dbt project lies in no git checkout or in another, the present one. Raises
    InputError without git, outside a checkout, for an unknown ref.
    """
    top = _top(config.parent)
    commit = _commit(top, ref)
    root = _within(config.parent, top)
    assert root is not None
    checkout = _within(CHECKOUT, top)
    paths = [root / config.name, *(root / name for name in OWN_FOLDERS)]
    if checkout is not None:
        paths += [checkout / name for name in (*OWN_FOLDERS, PROJECT.name)]
    with TemporaryDirectory(prefix="lifecycle-ref-") as temporary:
        folder = Path(temporary)
        _extract(top, commit, paths, folder)
        if checkout is not None and checkout != root:
            _stand_in(folder / root, folder / checkout)
        project = folder / checkout / PROJECT.name if checkout is not None else PROJECT
        then, problems = _settings(settings, folder / root, config.name, ref)
        yield _read(ref, then, project if project.is_dir() else PROJECT, problems)


def _read(ref: str, settings: Settings, project: Path, problems: tuple[Problem, ...]) -> Variant:
    try:
        return Variant.read(ref, settings, project=project, problems=problems)
    except (
        TriggerError
    ) as error:  # The models' YAML cannot be read, so the columns at that commit are unknown.
        problems = (*problems, *error.problems)
        return Variant.read(ref, settings, problems=problems)


def _top(folder: Path) -> Path:
    return Path(_git(folder, "rev-parse", "--show-toplevel").decode().strip())


def _commit(top: Path, ref: str) -> str:
    arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    try:
        return _git(top, *arguments).decode().strip()
    except InputError:
        listed = _git(top, "for-each-ref", "--format=%(refname:short)").decode().split()
        hint = did_you_mean(ref, listed) or (
            "a shallow checkout has the newest commit alone: fetch the others first"
        )
        raise InputError(f"git knows no commit {ref!r} in {top}; {hint}") from None


def _within(folder: Path, top: Path) -> Path | None:
    """The folder as a path from the top of the checkout, or None where it lies outside."""
    resolved, above = folder.resolve(), top.resolve()
    return resolved.relative_to(above) if resolved.is_relative_to(above) else None


def _extract(top: Path, commit: str, own_paths: list[Path], folder: Path) -> None:
    paths = [path.as_posix() for path in own_paths]
    listed = _git(top, "ls-tree", "-r", "-z", "--name-only", commit, "--", *paths)
    files = [name for name in listed.decode().split("\0") if name]
    # One by one: `git archive` fails for a path that does not exist, and for an empty list.
    present = [path for path in paths if any(f"{name}/".startswith(f"{path}/") for name in files)]
    if present:
        archive = _git(top, "archive", "--format=tar", commit, "--", *present)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")


def _stand_in(root: Path, checkout: Path) -> None:
    """Where the company's folder has none of its own, the checkout's of that commit counts."""
    root.mkdir(parents=True, exist_ok=True)
    for name in OWN_FOLDERS:
        if not (root / name).exists() and (checkout / name).is_dir():
            (root / name).symlink_to(checkout / name, target_is_directory=True)


def _settings(
    settings: Settings, root: Path, name: str, ref: str
) -> tuple[Settings, tuple[Problem, ...]]:
    try:
        # The state folder is the present one: a relative path would lead into the temporary one.
        return load(root / name, state={"dir": settings.state_dir}), ()
    except SettingsError as error:
        what = str(error).replace(f"{root}/", "") + f"; at {ref} the present settings stand in"
        return settings.model_copy(update={"root": root}), (Problem(name, None, what),)


def _git(folder: Path, *arguments: str) -> bytes:
    # A hook of git's sets variables that lead to another checkout than the folder's.
    env = child_environment("GIT_", without=SET_BY_HOOKS)
    try:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, env=env, capture_output=True, check=True).stdout
    except FileNotFoundError:
        raise InputError("git is not installed: the files to compare with come from git") from None
    except subprocess.CalledProcessError as error:
        message = error.stderr.decode(errors="replace").strip() or f"git {arguments[0]} failed"
        raise InputError(f"{folder}: {message.splitlines()[0].removeprefix('fatal: ')}") from None
