"""Evaluation: the effect of mails against a holdout, and health scores against actual churn."""
