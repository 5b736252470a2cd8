"""Measurements beside a baseline, as ratios of one run: never seconds that hold for one machine only."""
