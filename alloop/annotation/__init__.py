"""Where people label."""
