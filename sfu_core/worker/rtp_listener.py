"""Which producer of a transport receives what arrives: by SSRC, by MID, by RID.

The media thread decides for itself; this is the control thread's view of the same tables, for dumps and for
refusing what would be ambiguous.
"""

from sfu_core.channel.messages import RtpListener as RtpListenerDump
from sfu_core.channel.messages import RtpParameters, StringString, Uint32String
from sfu_core.errors import SfuError


class RtpListener:
    """Three tables; the values are producer ids."""

    def __init__(self) -> None:
        self._ssrcs: dict[int, str] = {}
        self._mids: dict[str, str] = {}
        self._rids: dict[str, str] = {}

    def add(self, producer_id: str, parameters: RtpParameters) -> None:
        """Enter what a producer announces. SfuError, and nothing entered, if another has it already."""
        mid, rids, ssrcs = parameters.mid, _rids(parameters), _ssrcs(parameters)
        for ssrc in ssrcs:
            if ssrc in self._ssrcs or ssrcs.count(ssrc) > 1:
                raise SfuError(f"ssrc {ssrc} is used by a producer of this transport already")
        if mid and mid in self._mids:
            raise SfuError(f"mid {mid!r} is used by a producer of this transport already")
        for rid in rids:
            if not mid and rid in self._rids:
                raise SfuError(f"rid {rid!r} is used by a producer of this transport already, and there is no mid")
        self._ssrcs.update((ssrc, producer_id) for ssrc in ssrcs)
        if mid:
            self._mids[mid] = producer_id
        for rid in rids:
            self._rids.setdefault(rid, producer_id)

    def learn(self, producer_id: str, ssrc: int) -> None:
        """A stream was found by MID or RID: from now on its SSRC is enough."""
        self._ssrcs.setdefault(ssrc, producer_id)

    def remove(self, producer_id: str) -> None:
        """Forget all of a producer."""
        self._ssrcs = {ssrc: owner for ssrc, owner in self._ssrcs.items() if owner != producer_id}
        self._mids = {mid: owner for mid, owner in self._mids.items() if owner != producer_id}
        self._rids = {rid: owner for rid, owner in self._rids.items() if owner != producer_id}

    def dump(self) -> RtpListenerDump:
        """The three tables."""
        return RtpListenerDump(
            ssrc_table=[Uint32String(key=ssrc, value=owner) for ssrc, owner in self._ssrcs.items()],
            mid_table=[StringString(key=mid, value=owner) for mid, owner in self._mids.items()],
            rid_table=[StringString(key=rid, value=owner) for rid, owner in self._rids.items()],
        )


def _ssrcs(parameters: RtpParameters) -> list[int]:
    media = [encoding.ssrc for encoding in parameters.encodings if encoding.ssrc]
    return media + [encoding.rtx.ssrc for encoding in parameters.encodings if encoding.rtx is not None]


def _rids(parameters: RtpParameters) -> list[str]:
    return [encoding.rid for encoding in parameters.encodings if encoding.rid]
