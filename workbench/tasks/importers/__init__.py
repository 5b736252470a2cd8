"""Importers of published benchmarks, one a file; see :mod:`workbench.tasks.suites`."""
