"""One template file: its form, its problems, and its rendering."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Template as CompiledTemplate
from jinja2 import TemplateRuntimeError, TemplateSyntaxError, nodes
from jinja2.meta import find_undeclared_variables
from jinja2.visitor import NodeTransformer

from lifecycle.errors import Problem, TemplateError, did_you_mean
from lifecycle.mail.sandbox import LONGEST_TEXT, SANDBOX, counted_steps

Names = Mapping[str, Collection[str] | None]
"""What a template may name: each word with its columns, or None for a plain value."""

NESTED = "is nested too deeply; write it in smaller parts"

_FORBIDDEN: dict[type[nodes.Node], str] = {
    nodes.Call: "a template calls no functions; use a filter",
    nodes.Include: "a template stands alone; write the words out",
    nodes.Import: "a template stands alone; write the words out",
    nodes.FromImport: "a template stands alone; write the words out",
    nodes.Extends: "a template stands alone; write the words out",
    nodes.Block: "a template stands alone; write the words out",
    nodes.Macro: "a template has no macros; write the words out",
    nodes.CallBlock: "a template has no macros; write the words out",
}


@dataclass(frozen=True)
class Text:
    """A stretch of a template file: a header's value, or the body."""

    file: str
    """As messages name it."""
    line: int
    """Of its first line in the file."""
    source: str

    def _problem(self, line: int | None, what: str, hint: str = "") -> Problem:
        return Problem(self.file, line, what, hint)

    @cached_property
    def _tree(self) -> nodes.Template:
        try:
            return SANDBOX.parse(_jinja(self), self.file, self.file)
        except (RecursionError, MemoryError):
            raise TemplateSyntaxError(NESTED, self.line) from None

    @cached_property
    def _undeclared(self) -> set[str]:
        return find_undeclared_variables(self._tree)

    @cached_property
    def _compiled(self) -> CompiledTemplate:
        try:
            code = SANDBOX.compile(_jinja(self), self.file, self.file)
        except TemplateSyntaxError as error:
            raise TemplateError([self._problem(error.lineno, error.message or "")]) from None
        except (SyntaxError, RecursionError, MemoryError):  # Python's own limits
            raise TemplateError([self._problem(self.line, NESTED)]) from None
        return SANDBOX.template_class.from_code(SANDBOX, code, {})

    def render(self, values: Mapping[str, Any]) -> str:
        """The text, filled in. Raises TemplateError with the line and the value's name."""
        compiled = self._compiled
        try:
            parts = _generated(compiled, values)
        except Exception as error:  # a template can raise anything
            line = _line_of(error, self.file)
            raise TemplateError([self._problem(line, str(error).rstrip("; "))]) from None
        return "".join(parts).lstrip("\n")

    def problems(self, names: Names) -> Iterator[Problem]:
        """Its static problems: syntax, and names that do not exist."""
        try:
            tree = self._tree
            unknown = self._undeclared - set(names)
        except TemplateSyntaxError as error:
            yield self._problem(error.lineno, error.message or "")
            return
        for node in tree.find_all(nodes.Name):
            if node.name in unknown and node.ctx == "load":
                hint = did_you_mean(node.name, names) or f"there are {', '.join(sorted(names))}"
                yield self._problem(node.lineno, f"nothing is called {node.name}", hint)
        for word, column, line in _columns(tree):
            known = names.get(word, ())
            if known is not None and word in names and column not in known:
                hint = did_you_mean(column, known)
                yield self._problem(line, f"there is no {word}.{column}", hint)
        for node_ in tree.find_all(tuple(_FORBIDDEN)):
            yield self._problem(node_.lineno, _FORBIDDEN[type(node_)])

    def misprints(self, values: Mapping[str, Any]) -> Iterator[Problem]:
        """What is wrong with its values by their type, whichever branches a mail takes.

        `values` are samples; an error that hangs on what they are, and not on their type, is none.
        """
        tree = SANDBOX.parse(_jinja(self), self.file, self.file)  # `_EveryBranch` changes it
        if tree.find(nodes.Assign) is None:  # else what one branch sets is not meant for another
            tree = _EveryBranch().visit(tree)
        try:
            code = SANDBOX.compile(tree, self.file, self.file)
        except (SyntaxError, RecursionError, MemoryError):  # Python's own limits
            yield self._problem(self.line, NESTED)
            return
        text = SANDBOX.template_class.from_code(SANDBOX, code, {})
        try:
            _generated(text, values)
        except (TemplateRuntimeError, TypeError) as error:
            yield self._problem(_line_of(error, self.file), str(error).rstrip("; "))
        except Exception:  # a division by zero, and the like
            return

    def uses(self) -> frozenset[str]:
        """The names that it uses: `company.name`, `unsubscribe_url`, …"""
        words = {node.name for node in self._tree.find_all(nodes.Name)}
        return frozenset(words | {f"{word}.{column}" for word, column, _ in _columns(self._tree)})


def _generated(template: CompiledTemplate, values: Mapping[str, Any]) -> list[str]:
    """The parts of a rendered text. Raises TemplateRuntimeError where it takes too much."""
    parts, size = [], 0
    with counted_steps():
        for part in template.generate(values):
            size += len(part)
            if size > LONGEST_TEXT:
                raise TemplateRuntimeError(f"it grows over {LONGEST_TEXT:,} characters")
            parts.append(part)
    return parts


class _EveryBranch(NodeTransformer):
    """Makes a template write all branches of each {% if %}, so that each is looked at."""

    def visit_If(self, node: nodes.If) -> list[nodes.Node]:  # noqa: N802 (Jinja's name)
        tests = [
            nodes.If(branch.test, [], [], [], lineno=branch.lineno)
            for branch in (node, *node.elif_)
        ]
        bodies = [*node.body, *(part for branch in node.elif_ for part in branch.body), *node.else_]
        return [*tests, *(part for body in bodies for part in self.visit_list(body))]


_TAG = r"(?:\{%(?:(?!%\}).)*%\}|\{#(?:(?!#\}).)*#\})"
_LONE_TAGS = re.compile(rf"(?m)^[ \t]*({_TAG}(?:[ \t]*{_TAG})*)[ \t]*\n")


def _jinja(text: Text) -> str:
    """The source for Jinja, its lines where the file has them, so that errors name them.

    A line that holds only tags leaves no line behind; a tag beside words leaves their line end
    alone. (Jinja's trim_blocks would join `{{ name }}{% endif %}` with the next line.)
    """
    source = _LONE_TAGS.sub(_swallow_line_end, text.source + "\n").removesuffix("\n")
    return "\n" * (text.line - 1) + source


def _swallow_line_end(line: re.Match[str]) -> str:
    tags = line[1]
    end = -3 if tags[-3] in "-+" else -2
    return f"{tags[:end]}\n{tags[end:]}"


def _columns(tree: nodes.Template) -> Iterator[tuple[str, str, int]]:
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        match node:
            case nodes.Getattr(node=nodes.Name(name=word), attr=column):
                yield word, column, node.lineno
            case nodes.Getitem(node=nodes.Name(name=word), arg=nodes.Const(value=column)):
                yield word, str(column), node.lineno


def _line_of(error: Exception, file: str) -> int | None:
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


@dataclass(frozen=True)
class Template:
    """A template file: its subject and its body."""

    file: str
    subject: Text
    body: Text

    def problems(self, names: Names) -> list[Problem]:
        """Its problems, by line."""
        problems = [*self.subject.problems(names), *self.body.problems(names)]
        return sorted(problems, key=lambda problem: problem.line or 0)

    def misprints(self, values: Mapping[str, Any]) -> list[Problem]:
        """What is wrong with its values by their type (`Text.misprints`), by line."""
        return [*self.subject.misprints(values), *self.body.misprints(values)]

    def uses(self) -> frozenset[str]:
        """The names that it uses: `company.name`, …"""
        return self.subject.uses() | self.body.uses()


@lru_cache(maxsize=1_000)  # each planning checks all mails, and between two of them few change
def parse_template(text: str, file: str) -> Template:
    """Headers, a blank line, a body. Raises TemplateError with every problem of the form."""
    lines = text.split("\n")
    problems: list[Problem] = []
    subject: Text | None = None
    end = next((at for at, line in enumerate(lines) if not line.strip()), len(lines))
    for number, line in enumerate(lines[:end], start=1):
        name, colon, value = line.partition(":")
        if not colon:
            what = "is neither a header nor the blank line that ends the headers"
            problems.append(Problem(file, number, what, "Subject: …, a blank line, then the mail"))
        elif name != "Subject":
            hint = did_you_mean(name, ["Subject"]) or "Subject is the only one"
            problems.append(Problem(file, number, f"unknown header {name!r}", hint))
        elif subject is not None:
            problems.append(Problem(file, number, "a second Subject"))
        elif not value.strip():
            problems.append(Problem(file, number, "the Subject is empty"))
        else:
            subject = Text(file, number, value.strip())
    if not problems and subject is None:
        problems.append(Problem(file, 1, "has no Subject", "it begins with Subject: …"))
    body = Text(file, end + 2, "\n".join(lines[end + 1 :]))
    if not body.source.strip():
        problems.append(Problem(file, None, "has no body", "a blank line ends the headers"))
    if problems or subject is None:
        raise TemplateError(problems)
    return Template(file, subject, body)


def read_text(path: Path, file: str) -> str:
    """What a file says. Raises TemplateError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TemplateError([Problem(file, None, f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise TemplateError([Problem(file, line, "is not UTF-8", "save it as UTF-8")]) from None
