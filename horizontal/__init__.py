"""Workers of other hosts behind mediasoup's API: a client and a server for them, and many hosts as one.

    from horizontal import MediasoupHorizontal

    async with MediasoupHorizontal(clients) as horizontal:
        await once(horizontal, "mediasoup")
        worker = await horizontal.mediasoup.create_worker()

`docs/horizontal.md` says how it works.
"""

from horizontal.manager import MediasoupHorizontal

__all__ = ["MediasoupHorizontal"]
