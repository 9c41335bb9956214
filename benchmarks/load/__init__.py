"""The load program: virtual callers on one core against a server on another. See ``benchmarks/bench_load.py``."""
