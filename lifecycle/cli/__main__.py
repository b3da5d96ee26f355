"""`python -m lifecycle.cli`, for who has the checkout and no console script."""

from lifecycle.cli import main

main()
