"""The store: journals that make every step durable, and the DuckDB file that answers questions about them."""
