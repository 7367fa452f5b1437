"""What scores, pre-labels and learns."""
