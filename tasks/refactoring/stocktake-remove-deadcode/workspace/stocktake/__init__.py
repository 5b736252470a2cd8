"""Reports on an inventory that is kept in files."""

__version__ = "3.1"
