"""Workers of other hosts behind mediasoup's API: a client and a server for them, and many hosts as one.

    from horizontal import MediasoupHorizontal, RemoteMediasoupClient

    clients = [RemoteMediasoupClient(url, token="…", listen_worker_died=False) for url in urls]
    async with MediasoupHorizontal(clients) as horizontal:
        await once(horizontal, "mediasoup")
        worker = await horizontal.mediasoup.create_worker()

`docs/remote.md` says what clients and servers do, `docs/horizontal.md` how many hosts become one.
"""

from horizontal.admission import Credentials
from horizontal.client import RemoteMediasoupClient
from horizontal.errors import AuthenticationError, InvalidStateError, RequestTimeoutError, SessionLostError
from horizontal.lifecycle import ReadyState
from horizontal.manager import MediasoupHorizontal
from horizontal.mock import RemoteMediasoupClientMock
from horizontal.server import RemoteMediasoupServer

__all__ = [
    "AuthenticationError",
    "Credentials",
    "InvalidStateError",
    "MediasoupHorizontal",
    "ReadyState",
    "RemoteMediasoupClient",
    "RemoteMediasoupClientMock",
    "RemoteMediasoupServer",
    "RequestTimeoutError",
    "SessionLostError",
]
