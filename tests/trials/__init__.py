"""Trials by fault: each is a function that gives one record a trial, for tests by a few and by hand by the hundred."""
