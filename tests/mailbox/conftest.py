from imap_server import imap, imap_process
from planned import workspace

__all__ = ["imap", "imap_process", "workspace"]
