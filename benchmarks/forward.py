"""CPU cost of forwarding beside its floor; the same as `sfu bench`, which has the options."""

import sys

from sfu.bench.cli import script

if __name__ == "__main__":
    sys.exit(script())
