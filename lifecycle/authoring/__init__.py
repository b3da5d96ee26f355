"""What people wrote: triggers, mails and expectations, read once and checked together."""
