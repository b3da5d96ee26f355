"""The `lifecycle` command. Importing it loads no more than its help texts need."""

import gc

# Imports make objects that stay. Looking at them again and again takes a tenth of a command's
# CPU time, so the collector waits for more of them (700 by default).
gc.set_threshold(50_000, 20, 20)

# In the order of `lifecycle --help`.
# isort: off
from lifecycle.cli import run, inspect, whatif, operate, mails, privacy  # noqa: E402
from lifecycle.cli.app import app, main  # noqa: E402
# isort: on

__all__ = ["app", "inspect", "mails", "main", "operate", "privacy", "run", "whatif"]
