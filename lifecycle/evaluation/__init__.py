"""Whether it works: the effect of mails against a holdout, and health scores against departures."""
