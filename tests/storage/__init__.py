"""Tests of the journals and the DuckDB file."""
