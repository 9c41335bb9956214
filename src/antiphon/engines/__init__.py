"""The models behind a call, each behind a small Protocol."""
