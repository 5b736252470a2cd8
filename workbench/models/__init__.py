"""Models behind one small protocol: providers, cassettes, functions, and the ones that need no provider."""
