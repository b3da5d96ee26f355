"""What would happen: preview, diff and simulation. Nothing here sends or decides for good."""
