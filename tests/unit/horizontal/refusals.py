"""Clients that a server does not let in."""

import pytest

from horizontal import AuthenticationError, RemoteMediasoupClient


async def refused(url, **options):
    """Why the server does not take this client; it does not try again."""
    client = RemoteMediasoupClient(url, **options)
    errors = []
    client.on("error", errors.append)
    with pytest.raises(AuthenticationError) as refusal:
        await client.ready()
    assert errors == [refusal.value] and client.ready_state == 3 and client.mediasoup is None
    client.destroy()
    return str(refusal.value)
