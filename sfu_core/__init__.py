"""One core: the mediasoup API over a compiled, GIL-free media thread.

Importing this package imports nothing compiled, so a machine that only controls a remote server needs
no engine. `from sfu_core import mediasoup` gives the API.
"""

from .version import VERSION as __version__

__all__ = ["__version__"]
