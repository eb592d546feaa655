"""Who does the work: Ray actors, their supervision, and the command line.

This is what Python imports first of ours, for each command and in each actor. `python -m` and Ray put the
directory where the command was typed first on the path; a folder of the user's that is called schemas or
pipeline must not be taken for the packages beside this one.
"""

import sys
from pathlib import Path

_BESIDE = str(Path(__file__).resolve().parents[1])
sys.path[:] = [_BESIDE, *(entry for entry in sys.path if entry != _BESIDE)]
