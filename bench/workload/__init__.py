"""Millrace's part of the benchmark, written as any user would write it: a package of handlers."""
