"""An account's story: how it stands, and for each trigger what was done, or not, and why."""
