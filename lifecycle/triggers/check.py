"""All that is wrong with what CS ops wrote, triggers and mails together: `lifecycle validate`."""

from __future__ import annotations

from pathlib import Path

from lifecycle.errors import Problem
from lifecycle.mail.check import check_templates
from lifecycle.settings import Settings
from lifecycle.triggers.columns import account_columns, contact_columns
from lifecycle.triggers.model import read_folder


def check(settings: Settings) -> list[Problem]:
    """Every problem of every trigger and every template; empty when all is well.

    While a trigger cannot be read, nobody knows which mails it has: its templates wait.
    Raises TriggerError if the models' own YAML, which names the columns, cannot be read.
    """
    triggers, problems = read_folder(settings.folder("triggers"))
    unread = {Path(problem.file).stem for problem in problems}
    steps = [(trigger.name, [step.id for step in trigger.steps]) for trigger in triggers]
    return [
        *problems,
        *(
            problem
            for problem in check_templates(settings, steps, account_columns(), contact_columns())
            if Path(problem.file).parent.name not in unread
        ),
    ]
