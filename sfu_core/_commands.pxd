"""What the control thread asks of the media thread: linking, changing and closing what it has prepared. Tier 5."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from sfu_core._core cimport Core
from sfu_core._records cimport Path
from sfu_core._srtp cimport SrtpContext, SrtpKeys


cdef enum CommandCode:
    COMMAND_STOP = 1
    COMMAND_ADD_SOCKET = 2
    COMMAND_CLOSE_SOCKET = 3
    COMMAND_ADD_TRANSPORT = 4
    COMMAND_RESTART_ICE = 5      # tail: IceNames
    COMMAND_CONNECT = 6          # path, rtcp_path
    COMMAND_SET_SRTP = 7         # tail: Keying
    COMMAND_SET_EXTENSIONS = 8   # tail: 256 bytes
    COMMAND_DATAGRAM = 9         # tail: bytes
    COMMAND_RTCP = 10            # tail: bytes
    COMMAND_SET_BITRATE = 11     # value
    COMMAND_CLOSE_TRANSPORT = 12
    COMMAND_ADD_PRODUCER = 13
    COMMAND_PAUSE_PRODUCER = 14  # value
    COMMAND_RTP = 15             # tail: bytes
    COMMAND_TRACE_PRODUCER = 16  # value
    COMMAND_CLOSE_PRODUCER = 17
    COMMAND_ADD_SEND = 18
    COMMAND_PAUSE_SEND = 19      # value
    COMMAND_KEY_FRAME = 20
    COMMAND_TRACE_SEND = 21      # value
    COMMAND_CLOSE_SEND = 22
    COMMAND_CLEAR_SRTP = 23
    COMMAND_ADD_LINK = 24
    COMMAND_CLOSE_LINK = 25
    COMMAND_CONNECT_LINK = 26    # path, value: the tag of the other end
    COMMAND_ADD_SHARE = 27
    COMMAND_CLOSE_SHARE = 28
    COMMAND_NEIGHBOUR = 29       # index: a core, value: index + 1 of the link to it, or 0
    COMMAND_CONNECTION = 30      # index: a socket, value: a descriptor; tail: what it has said
    COMMAND_CONNECTION_LEFT = 31


cdef struct Command:
    uint32_t index
    uint32_t reserved
    uint64_t value
    Path path
    Path rtcp_path


cdef struct IceNames:
    uint8_t ufrag[33]
    uint8_t password[33]
    uint8_t ufrag_length
    uint8_t password_length


cdef struct Keying:
    SrtpContext *incoming
    SrtpContext *outgoing
    SrtpKeys keys_in
    SrtpKeys keys_out


cdef void run_commands(Core *core) noexcept nogil
# A TCP connection that a socket has accepted; its index, or NONE: there is no room, and it has been closed.
cdef uint32_t open_connection(Core *core, uint32_t socket, int fd) noexcept nogil
cdef void close_connection(Core *core, uint32_t connection) noexcept nogil
# The record goes, the descriptor stays and is the caller's.
cdef int release_connection(Core *core, uint32_t connection) noexcept nogil
