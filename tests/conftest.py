"""For all tests: what runs beside them on this host does not decide how many cores they get."""

import os

os.environ.setdefault("SFU_LEASES", "off")
