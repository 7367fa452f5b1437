"""What has happened, as rows with unique keys that make twice equal once."""

from alloop.ledger.ledger import Ledger, open_ledger

__all__ = ["Ledger", "open_ledger"]
