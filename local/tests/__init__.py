"""Tests of what the demo's verdict rests on: python -m unittest discover -s local/tests -t ."""
