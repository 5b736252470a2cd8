"""Kernels: environments, walls, processes and sessions."""
