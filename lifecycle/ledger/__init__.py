"""The memory that survives a crash: who was enrolled, what is planned, what became of it."""
