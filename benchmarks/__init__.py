"""Side by side with peers, in one run: `./dev bench <name>` runs `benchmarks/<name>.py`.

A benchmark says what is run and what the goal is; `_measure` runs it and `_report` shows it.  Nothing here is imported by the
project itself, and no figure is kept that was not measured beside its peers on the same machine in the same run.
"""
