"""What the tests of mail share."""

from mail_templates import company

__all__ = ["company"]
