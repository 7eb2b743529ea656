"""Workers of other hosts behind mediasoup's API: a client and a server for them, and many hosts as one.

    from horizontal import MediasoupHorizontal, RemoteMediasoupClient

    clients = [RemoteMediasoupClient(url, token="…", listen_worker_died=False) for url in urls]
    async with MediasoupHorizontal(clients) as horizontal:
        mediasoup = await horizontal.ready()
        worker = await mediasoup.create_worker()

`docs/remote.md` says what clients and servers do, `docs/horizontal.md` how many hosts become one.
"""

from horizontal.admission import Credentials
from horizontal.client import RemoteMediasoupClient
from horizontal.errors import AuthenticationError, IncompatibleError, RequestTimeoutError, SessionLostError
from horizontal.lifecycle import ReadyState
from horizontal.manager import MediasoupHorizontal
from horizontal.mock import RemoteMediasoupClientMock
from horizontal.server import RemoteMediasoupServer
from sfu_core.errors import InvalidStateError

__all__ = [
    "AuthenticationError",
    "Credentials",
    "IncompatibleError",
    "InvalidStateError",
    "MediasoupHorizontal",
    "ReadyState",
    "RemoteMediasoupClient",
    "RemoteMediasoupClientMock",
    "RemoteMediasoupServer",
    "RequestTimeoutError",
    "SessionLostError",
]
