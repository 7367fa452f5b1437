"""Contract tests that users can subclass for their own adapters."""
