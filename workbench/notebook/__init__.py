"""The notebook door: ``%%agent`` and ``%task``."""
