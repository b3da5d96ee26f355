"""Reads and checks the files that people write: triggers, mails and expectations."""
