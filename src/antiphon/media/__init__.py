"""What carries a call."""
