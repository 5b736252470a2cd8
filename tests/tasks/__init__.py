"""Tests of the task file, staging, freezing, grading and the built-in tasks."""
