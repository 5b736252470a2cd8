"""Measurements compared with a baseline, as ratios from one run, since seconds are valid for one machine only."""
