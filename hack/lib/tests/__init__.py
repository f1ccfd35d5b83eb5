"""Tests of the modules that have something to get wrong without any program running."""
