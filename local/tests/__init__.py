"""Tests of the demo's checks: python -m unittest discover -s local/tests -t ."""
