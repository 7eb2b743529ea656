"""Hosts whose cores are no processes."""

import sys
from pathlib import Path

UNIT = Path(__file__).parents[1]
sys.path += [str(UNIT), str(UNIT / "vertical")]  # cores without processes, and the engine they use
