"""Kills at random what a job stands on and compares what is left: `python -m infra.chaos --help`."""
