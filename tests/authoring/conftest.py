"""What the tests of authoring share."""

from mail_templates import company

__all__ = ["company"]
