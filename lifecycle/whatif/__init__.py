"""Preview, diff and simulation: what would happen. Nothing here sends mail or writes decisions."""
