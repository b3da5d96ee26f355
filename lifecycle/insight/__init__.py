"""`lifecycle explain`: an account's status, and for each trigger what was decided and why."""
