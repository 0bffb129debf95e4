"""Tests of what operators look at: rules, routes, runbooks, and the way from a fault to a page."""
