"""Benchmarks: programs that print the tables of the documentation."""
