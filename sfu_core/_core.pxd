"""The state of one media thread: pointers into the slab, look-up tables, queues, and the batches on their way. Tier 3.

Local to the process, and of no use to another: what must survive lies in the slab (`_records`).
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from sfu_core._flows cimport FLOW_CORES, FlowTable
from sfu_core._nack cimport NackList
from sfu_core._net cimport net_rx, net_tx
from sfu_core._records cimport (
    Backlog, Connection, Counters, Path, Producer, RecvStream, SendStream, SentBlock, Socket, SsrcEntry, Transport, Tuple,
)
from sfu_core._ring cimport ring
from sfu_core._rtp cimport RtpPacket
from sfu_core._slab cimport FreeList, SlabHeader
from sfu_core._srtp cimport SrtpContext, SrtpJob


cdef enum:
    BATCH = 128                  # packets protected and sent together
    RX_BATCH = 64                # datagrams read together
    MAX_LINKS = 256              # neighbours of a core
    MAX_SHARES = 64              # servers whose ports are shared with other cores
    MAX_LISTENERS = 32           # of one of them
    MAX_LEAVING = 64             # connections on their way to neighbours


cdef struct Link:
    # A pair of rings to a neighbour; local to the process.
    ring incoming
    ring outgoing
    void *memory
    uint64_t bytes
    int32_t bell_in              # the neighbour rings it
    int32_t bell_out
    uint32_t live
    uint32_t closing             # once more to be read, then it goes
    uint32_t dirty               # something was written since the last publication
    uint64_t packets
    uint64_t dropped
    uint64_t bells


cdef struct Share:
    # A server whose ports all cores of the host listen on; local to the process.
    FlowTable flows
    void *memory
    uint64_t bytes
    uint32_t live
    uint32_t number              # the same on all cores
    uint32_t sockets[MAX_LISTENERS]  # our own, by listener; NONE where there is none


cdef struct Incoming:
    # One RTP packet between reading and forwarding.
    RtpPacket packet
    Path path
    uint32_t transport
    uint32_t tuple               # that it came on, or NONE
    uint32_t known               # its SSRC was known when it was read
    uint32_t stream
    uint32_t role                # SsrcRole
    uint32_t job                 # or NONE if it came in clear
    uint64_t index               # SRTP index, if protected


cdef struct Outgoing:
    uint32_t transport
    uint32_t length              # header, then the whole datagram
    uint32_t job                 # index in the jobs, or NONE if in clear
    uint32_t control             # RTCP, STUN or DTLS: never part of a run
    const Path *path


cdef struct Core:
    uint8_t *base
    SlabHeader *header
    Socket *sockets
    Connection *connections
    Tuple *tuples
    Transport *transports
    Producer *producers
    RecvStream *recv
    SendStream *send
    NackList *nacks
    SentBlock *sent
    SsrcEntry *ssrcs
    Backlog *backlog
    Counters *counters
    uint8_t *history
    uint64_t history_size        # power of two
    uint64_t history_head        # bytes ever written
    uint64_t tick_mark           # where the running tick began
    FreeList free_connections    # tables whose slots the media thread hands out
    FreeList free_tuples
    FreeList free_ssrcs
    FreeList free_backlog
    uint32_t *tuple_buckets
    uint32_t *ssrc_buckets
    uint32_t *ufrag_buckets
    uint32_t tuple_mask
    uint32_t ssrc_mask
    uint32_t ufrag_mask
    uint64_t seed                # of the hashes, and of `random`
    uint64_t random
    SrtpContext **srtp_in        # by transport
    SrtpContext **srtp_out
    uint32_t *heap               # transports by deadline
    uint32_t heap_length
    Link links[MAX_LINKS]
    uint32_t link_count
    uint32_t links_dirty
    Share shares[MAX_SHARES]
    uint32_t share_count
    uint32_t neighbours[FLOW_CORES]  # index + 1 of the link to each core that shares ports with us; 0 = none
    uint32_t neighbourhood       # numbers of neighbours are below
    uint32_t first_unread        # index + 1 of a connection that a neighbour has brought, with bytes to look at
    uint32_t leaving             # connections on their way to neighbours
    uint32_t handed              # datagrams of neighbours that lie in receive slots
    uint32_t links_heard         # a neighbour sent something in this turn
    ring commands                # read end
    ring events                  # write end
    ring freed                   # write end
    uint32_t events_lost
    int32_t epoll_fd
    int32_t command_fd
    int32_t event_fd
    uint32_t wake_control        # an event was written in this tick
    uint32_t stopping
    uint32_t unverified          # TCP connections without a tuple
    int64_t now_ns               # monotonic, read once per wake-up
    int64_t unix_offset_ns       # Unix time - monotonic
    uint64_t tuple_order
    uint32_t packet_id           # of mediasoup's header extension, counted over the core
    uint32_t touched             # receive streams with records in this tick
    # ---- the batch on its way in
    Incoming incoming[RX_BATCH]
    SrtpJob in_jobs[RX_BATCH]
    uint32_t in_count
    uint32_t in_job_count
    # ---- the batch on its way out
    uint8_t *slots
    Path control_paths[BATCH]
    Outgoing out[BATCH]
    SrtpJob jobs[BATCH]
    uint32_t out_count
    uint32_t job_count
    net_rx rx
    net_tx tx
