"""What comes back by mail: read from the mailbox, understood, and written into the ledger."""
