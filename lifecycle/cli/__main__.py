"""Run the command as `python -m lifecycle.cli`, where the console script is not installed."""

from lifecycle.cli import main

main()
