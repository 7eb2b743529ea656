"""The events that the media thread reports to the control thread, by code and shape."""

from enum import IntEnum


class EngineEvent(IntEnum):
    """The first element of each tuple that `Engine.poll` returns; the comment gives the rest."""

    FREED = 1  # (table, index): a closed object's slot is free again; handled inside Engine.poll, never seen
    ICE_STATE = 2  # (transport, state): 0 new, 1 connected, 2 completed, 3 disconnected
    ICE_TUPLE = 3  # (transport, protocol, local ip, local port, remote ip, remote port): selected tuple changed
    DATAGRAM = 4  # (transport, bytes): DTLS from a verified tuple
    TUPLE = 5  # (transport, protocol, local ip, local port, remote ip, remote port): comedia learned RTP's
    RTCP_TUPLE = 6  # same, RTCP's
    NEW_STREAM = 7  # (recv stream, ssrc): first packet of a stream
    RECV_SCORE = 8  # (recv stream, score)
    SEND_SCORE = 9  # (send stream, score)
    RTP = 10  # (send stream, bytes): a packet for a consumer on a DirectTransport
    RTCP = 11  # (transport, bytes): RTCP that a DirectTransport produced
    ORIENTATION = 12  # (recv stream, value of the video-orientation byte)
    PRODUCER_TRACE = 13  # (producer, type, time ms, direction 0 in 1 out, info tuple)
    CONSUMER_TRACE = 14  # (send stream, type, time ms, direction, info tuple)
    NEW_RTX_STREAM = 15  # (recv stream, ssrc)
    CONNECTION = 16  # (0, share, listener, core, fd, bytes): of TCP, that is another core's; the fd is the reader's
    #   info of RTP and KEYFRAME: (is rtx, pt, seq, timestamp, marker, ssrc, is key frame, size, payload size,
    #                              mid, rid, rrid, wide seq or -1)
    #   info of PLI and FIR: (ssrc,); NACK: (); SR: (ssrc, ntp seconds, ntp fraction, rtp timestamp, packets, octets)
