"""What to label: pure functions of arrays."""
