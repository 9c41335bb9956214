"""The running task group that serves one call: where all rooms meet."""
