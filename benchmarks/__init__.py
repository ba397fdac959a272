"""Benchmarks of skvib: `claims`, what they have in common, and their `results`."""
