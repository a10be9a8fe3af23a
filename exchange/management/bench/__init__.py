"""Benchmarks: each a plain function `run(sizes, report)`, listed in `commands/bench_run.py`."""
