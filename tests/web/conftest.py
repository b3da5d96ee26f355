"""The service on a real socket, over a real ledger."""

from served import served, settings

__all__ = ["served", "settings"]
