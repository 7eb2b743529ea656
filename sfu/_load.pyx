"""The load of `sfu bench`: a paced RTP source, a counting sink, and the bare loops the engine is compared with.

It runs in processes of its own, so nothing here is ever counted as cost of the engine. It knows datagrams and clocks,
not mediasoup. `Source` alone is the *floor*: the least a process can spend to send these datagrams.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from sfu_core._bytes cimport load16, load32, load64, store16, store32, store64

import socket
import struct

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    struct iovec:
        void *iov_base
        size_t iov_len
    struct sockaddr:
        pass
    struct msghdr:
        void *msg_name
        socklen_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    struct timespec
    enum: MSG_DONTWAIT, MSG_TRUNC, SOL_SOCKET, SCM_TIMESTAMPNS
    ssize_t recv(int fd, void *data, size_t size, int flags)
    ssize_t sendto(int fd, const void *data, size_t size, int flags, const sockaddr *to, socklen_t length)
    ssize_t sendmsg(int fd, const msghdr *message, int flags)
    int recvmmsg(int fd, mmsghdr *messages, unsigned int count, int flags, timespec *timeout)
    size_t CMSG_SPACE(size_t size)
    size_t CMSG_LEN(size_t size)
    cmsghdr *CMSG_FIRSTHDR(msghdr *message)
    unsigned char *CMSG_DATA(cmsghdr *header)

cdef extern from "<sys/epoll.h>" nogil:
    struct epoll_event:
        uint32_t events
        int data "data.fd"
    int epoll_wait(int epoll, epoll_event *events, int count, int timeout_ms)

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    enum: POLLIN
    int ppoll(pollfd *fds, unsigned long count, const timespec *timeout, const void *mask)

cdef extern from "<time.h>" nogil:
    struct timespec:
        int64_t tv_sec
        long tv_nsec
    enum: CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_THREAD_CPUTIME_ID, TIMER_ABSTIME
    int clock_gettime(int clock, timespec *now)
    int clock_nanosleep(int clock, int flags, const timespec *until, timespec *left)


cdef enum:
    SOL_UDP = 17
    UDP_SEGMENT = 103
    ADDRESS_ROOM = 28       # sizeof(struct sockaddr_in6)
    BATCH = 32              # datagrams of one recvmmsg
    HEAD = 16               # bytes looked at of a received datagram; the rest is only counted
    WHOLE = 2048            # of which a timed sink also needs the last eight
    CONTROL = 64            # room for a timestamp of the kernel
    STAMP = 8               # bytes at the end of a stamped packet: when it was sent
    DELAYS = 16384          # steps of the histogram of delays; the last one is for all that took longer
    DELAY_NS = 5000         # a step
    EVERYWHERE = -1
    MAX_BURST = 64          # packets that leave together, and segments of one GSO send
    STREAMS = 8192          # slots of the SSRC table, a power of two
    SECOND = 1000000000
    LINGER = 5000000000     # ns after the last packet was sent; what comes later is lost
    PATIENCE = 20000000     # ns after which a sleeping sink looks whether it should finish


cdef struct Step:
    int64_t at              # ns after the start of the cycle
    uint32_t rtp_time       # RTP clock ticks after the start of the cycle
    uint32_t offset
    uint32_t size
    int32_t to              # the destination, or EVERYWHERE


cdef struct Stream:
    uint32_t ssrc
    uint16_t seq
    uint8_t used
    uint64_t packets


cdef inline int64_t read_clock(int which) noexcept nogil:
    cdef timespec now
    clock_gettime(which, &now)
    return now.tv_sec * SECOND + now.tv_nsec


cdef void *zeroed(size_t count, size_t size) except NULL:
    cdef void *memory = calloc(count if count else 1, size)
    if memory == NULL:
        raise MemoryError
    return memory


def address_bytes(str ip, int port):
    """A `struct sockaddr` for a literal IPv4 or IPv6 address."""
    if ":" in ip:
        return struct.pack("=H", socket.AF_INET6) + struct.pack(
            "!HI16sI", port, 0, socket.inet_pton(socket.AF_INET6, ip), 0)
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, socket.inet_pton(socket.AF_INET, ip))


cdef class Source:
    """Sends the steps of a cycle, over and over, each at its time and to every destination.

    `steps`: (ns after the start of the cycle, RTP ticks after it, RTP packet), or all of them with the index of the one
    destination that the step is for. Sequence number, timestamp and SSRC of the packets are overwritten as they leave.
    `sockets`: one for all destinations, or one for each. With `gso`, packets of equal size that are due together leave
    for a destination as one UDP_SEGMENT send. `stamped` packets end with the time at which they were sent.
    """

    cdef Step *steps
    cdef int count
    cdef int64_t period, cycle_start
    cdef uint32_t rtp_period, rtp_cycle, ssrc
    cdef uint16_t seq
    cdef uint16_t *seqs         # of each destination, for steps that name theirs
    cdef int index
    cdef uint8_t *data
    cdef int *fds
    cdef int n_fds
    cdef uint8_t *addresses
    cdef socklen_t *lengths
    cdef int n_addresses
    cdef bint gso, stamped
    cdef uint64_t packets, octets, sends, failed
    cdef int64_t latest

    def __init__(self, list steps, int64_t period_ns, uint32_t rtp_period, list sockets, list destinations,
                 *, uint32_t ssrc=1, bint gso=False, bint stamped=False):
        if not steps or not sockets or not destinations:
            raise TypeError("steps, sockets and destinations must not be empty")
        if len(sockets) != 1 and len(sockets) != len(destinations):
            raise TypeError("sockets must be one, or one a destination")
        if period_ns <= 0 or max(step[0] for step in steps) >= period_ns:
            raise TypeError("period_ns must be later than the last step")
        if self.steps != NULL:
            raise TypeError("a Source is initialised once")
        if len({len(step) for step in steps}) != 1 or gso and (stamped or len(steps[0]) > 3):
            raise TypeError("steps must all name a destination, or none; with gso none, and no stamps")
        self.count = len(steps)
        self.period, self.rtp_period, self.ssrc, self.gso = period_ns, rtp_period, ssrc, gso
        self.stamped = stamped
        self._copy_destinations(sockets, destinations)
        self._copy_steps(steps)

    cdef _copy_steps(self, list steps):
        cdef Py_ssize_t i
        cdef uint32_t offset = 0
        cdef const uint8_t[:] packet
        self.steps = <Step *>zeroed(len(steps), sizeof(Step))
        self.data = <uint8_t *>zeroed(sum(len(step[2]) for step in steps), 1)
        for i, (at, rtp_time, content, *to) in enumerate(steps):
            if len(content) < 12 + (STAMP if self.stamped else 0):
                raise TypeError("steps must hold RTP packets of 12 bytes or more, 20 if they are stamped")
            if to and not 0 <= to[0] < self.n_addresses:
                raise TypeError("steps must name destinations that there are")
            if i and at < self.steps[i - 1].at:
                raise TypeError("steps must be ordered by time")
            packet = content
            memcpy(self.data + offset, &packet[0], len(content))
            self.steps[i] = Step(at, rtp_time, offset, len(content), to[0] if to else EVERYWHERE)
            offset += len(content)

    cdef _copy_destinations(self, list sockets, list destinations):
        cdef Py_ssize_t i
        cdef const uint8_t[:] raw
        self.n_fds, self.n_addresses = len(sockets), len(destinations)
        self.fds = <int *>zeroed(self.n_fds, sizeof(int))
        self.addresses = <uint8_t *>zeroed(self.n_addresses, ADDRESS_ROOM)
        self.lengths = <socklen_t *>zeroed(self.n_addresses, sizeof(socklen_t))
        self.seqs = <uint16_t *>zeroed(self.n_addresses, sizeof(uint16_t))
        for i, sock in enumerate(sockets):
            self.fds[i] = sock.fileno()
        for i, (ip, port) in enumerate(destinations):
            raw = address_bytes(ip, port)
            memcpy(self.addresses + i * ADDRESS_ROOM, &raw[0], raw.shape[0])
            self.lengths[i] = raw.shape[0]

    def __dealloc__(self):
        free(self.steps)
        free(self.data)
        free(self.fds)
        free(self.addresses)
        free(self.lengths)
        free(self.seqs)

    def counters(self):
        """What left since the last start: packets, bytes, sends (system calls), failed, latest (ns behind time)."""
        return {"packets": self.packets, "bytes": self.octets, "sends": self.sends, "failed": self.failed,
                "latest": self.latest}

    cdef void start(self, int64_t now) noexcept nogil:
        if self.index:  # the last run ended within a cycle
            self.rtp_cycle += self.rtp_period
        self.cycle_start = now
        self.index = 0
        self.packets = self.octets = self.sends = self.failed = 0
        self.latest = 0

    cdef int64_t fire(self, int64_t now, int64_t stop) noexcept nogil:
        """Sends what is due at `now` and before `stop`; returns when the next step is."""
        cdef int64_t due
        cdef int64_t last = min(now, stop - 1)
        cdef int n
        while True:
            due = self.cycle_start + self.steps[self.index].at
            if due > last:
                return due
            if now - due > self.latest:
                self.latest = now - due
            n = 1
            while (n < MAX_BURST and self.index + n < self.count
                   and self.cycle_start + self.steps[self.index + n].at <= last):
                n += 1
            self.stamp(n)
            self.send(n)
            self.index += n
            if self.index == self.count:
                self.index = 0
                self.cycle_start += self.period
                self.rtp_cycle += self.rtp_period

    cdef void stamp(self, int n) noexcept nogil:
        cdef Step *step
        cdef uint8_t *packet
        cdef uint16_t *seq
        cdef int i
        for i in range(n):
            step = &self.steps[self.index + i]
            packet = self.data + step.offset
            seq = &self.seqs[step.to] if step.to != EVERYWHERE else &self.seq
            store16(packet + 2, seq[0])
            store32(packet + 4, self.rtp_cycle + step.rtp_time)
            store32(packet + 8, self.ssrc)
            seq[0] = <uint16_t>(seq[0] + 1)

    cdef void send(self, int n) noexcept nogil:
        cdef int d, i, run
        if self.steps[self.index].to != EVERYWHERE:
            for i in range(n):
                self.send_one(self.steps[self.index + i].to, i)
            return
        for d in range(self.n_addresses):
            i = 0
            while i < n:
                run = self.run_of_equal_sizes(i, n) if self.gso else 1
                if run > 1:
                    self.send_segments(d, i, run)
                else:
                    self.send_one(d, i)
                i += run

    cdef int run_of_equal_sizes(self, int first, int n) noexcept nogil:
        """How many packets from `first` one GSO send may carry: equal sizes, the last may be shorter."""
        cdef uint32_t size = self.steps[self.index + first].size
        cdef uint32_t total = size
        cdef uint32_t next_size
        cdef int run = 1
        while first + run < n:
            next_size = self.steps[self.index + first + run].size
            if next_size > size or total + next_size > 60000:
                break
            run += 1
            total += next_size
            if next_size < size:
                break
        return run

    cdef void send_one(self, int d, int i) noexcept nogil:
        cdef Step *step = &self.steps[self.index + i]
        cdef int fd = self.fds[d if self.n_fds > 1 else 0]
        cdef ssize_t sent
        if self.stamped:
            store64(self.data + step.offset + step.size - STAMP, <uint64_t>read_clock(CLOCK_REALTIME))
        sent = sendto(fd, self.data + step.offset, step.size, MSG_DONTWAIT,
                      <sockaddr *>(self.addresses + d * ADDRESS_ROOM), self.lengths[d])
        self.count_send(sent, 1)

    cdef void send_segments(self, int d, int i, int run) noexcept nogil:
        cdef iovec parts[MAX_BURST]
        cdef uint64_t control[8]
        cdef msghdr message
        cdef cmsghdr *header
        cdef uint16_t segment = <uint16_t>self.steps[self.index + i].size
        cdef int k
        for k in range(run):
            parts[k].iov_base = self.data + self.steps[self.index + i + k].offset
            parts[k].iov_len = self.steps[self.index + i + k].size
        memset(&message, 0, sizeof(message))
        message.msg_name = self.addresses + d * ADDRESS_ROOM
        message.msg_namelen = self.lengths[d]
        message.msg_iov = parts
        message.msg_iovlen = run
        message.msg_control = control
        message.msg_controllen = CMSG_SPACE(sizeof(segment))
        header = CMSG_FIRSTHDR(&message)
        header.cmsg_level = SOL_UDP
        header.cmsg_type = UDP_SEGMENT
        header.cmsg_len = CMSG_LEN(sizeof(segment))
        memcpy(CMSG_DATA(header), &segment, sizeof(segment))
        self.count_send(sendmsg(self.fds[d if self.n_fds > 1 else 0], &message, MSG_DONTWAIT), run)

    cdef void count_send(self, ssize_t sent, int n) noexcept nogil:
        self.sends += 1
        if sent < 0:
            self.failed += n
        else:
            self.packets += n
            self.octets += sent


cdef class Sink:
    """Counts what arrives on its sockets: RTP packets and bytes, RTCP packets, and holes in each SSRC's numbers.

    `epoll` is a descriptor on which the sockets are registered; it is waited on only when the run sleeps. A polling
    sink sweeps the sockets instead, so that a sender never pays for waking it. A `timed` one also notes how long
    stamped packets took until the kernel had them for it.
    """

    cdef int *fds
    cdef int n_fds, epoll
    cdef Stream *streams
    cdef uint8_t *heads
    cdef mmsghdr *messages
    cdef iovec *parts
    cdef uint64_t packets, octets, rtcp, missing, n_streams
    cdef bint finishing, timed
    cdef uint32_t room              # bytes of a packet that are read
    cdef uint8_t *control
    cdef uint32_t *slow             # packets by their delay

    def __init__(self, list sockets, int epoll=-1, bint timed=False):
        cdef int i
        if self.fds != NULL:
            raise TypeError("a Sink is initialised once")
        self.n_fds, self.epoll = len(sockets), epoll
        self.fds = <int *>zeroed(self.n_fds, sizeof(int))
        for i in range(self.n_fds):
            self.fds[i] = sockets[i].fileno()
        self.streams = <Stream *>zeroed(STREAMS, sizeof(Stream))
        self.timed = timed
        self.room = WHOLE if timed else HEAD
        self.control = <uint8_t *>zeroed(BATCH, CONTROL)
        self.slow = <uint32_t *>zeroed(DELAYS, sizeof(uint32_t))
        for sock in sockets if timed else ():
            sock.setsockopt(SOL_SOCKET, SCM_TIMESTAMPNS, 1)
        self.heads = <uint8_t *>zeroed(BATCH, self.room)
        self.parts = <iovec *>zeroed(BATCH, sizeof(iovec))
        self.messages = <mmsghdr *>zeroed(BATCH, sizeof(mmsghdr))
        for i in range(BATCH):
            self.parts[i].iov_base = self.heads + i * self.room
            self.parts[i].iov_len = self.room
            self.messages[i].msg_hdr.msg_iov = &self.parts[i]
            self.messages[i].msg_hdr.msg_iovlen = 1

    def __dealloc__(self):
        free(self.fds)
        free(self.streams)
        free(self.heads)
        free(self.parts)
        free(self.messages)
        free(self.control)
        free(self.slow)

    def delays(self):
        """Packets since the last start by their delay: [(at least so many µs, packets), …], ascending."""
        return [(i * DELAY_NS // 1000, self.slow[i]) for i in range(DELAYS) if self.slow[i]]

    def counters(self):
        """What arrived since the last start: packets, bytes and streams of RTP, rtcp packets, missing packets."""
        return {"packets": self.packets, "bytes": self.octets, "rtcp": self.rtcp, "missing": self.missing,
                "streams": self.n_streams}

    def finish(self):
        """Ends the time in which a run counts; it returns after its `settle`. Called from another thread."""
        self.finishing = True

    cdef void start(self) noexcept nogil:
        self.finishing = False
        memset(self.streams, 0, STREAMS * sizeof(Stream))
        memset(self.slow, 0, DELAYS * sizeof(uint32_t))
        self.packets = self.octets = self.rtcp = self.missing = self.n_streams = 0

    cdef int drain_all(self) noexcept nogil:
        cdef int i, got = 0
        for i in range(self.n_fds):
            got += self.drain(self.fds[i])
        return got

    cdef int drain_ready(self) noexcept nogil:
        cdef epoll_event ready[BATCH]
        cdef int i, got = 0
        cdef int n = epoll_wait(self.epoll, ready, BATCH, 0)
        for i in range(n):
            got += self.drain(ready[i].data)
        return got

    cdef int drain(self, int fd) noexcept nogil:
        cdef int i, n
        for i in range(BATCH if self.timed else 0):
            self.messages[i].msg_hdr.msg_control = self.control + i * CONTROL
            self.messages[i].msg_hdr.msg_controllen = CONTROL
        n = recvmmsg(fd, self.messages, BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL)
        if n <= 0:
            return 0
        for i in range(n):
            self.account(self.heads + i * self.room, self.messages[i].msg_len)
            if self.timed:
                self.time(self.heads + i * self.room, &self.messages[i])
        return n

    cdef void time(self, const uint8_t *packet, mmsghdr *message) noexcept nogil:
        cdef cmsghdr *header = CMSG_FIRSTHDR(&message.msg_hdr)
        cdef timespec arrived
        cdef int64_t delay
        if header == NULL or header.cmsg_type != SCM_TIMESTAMPNS or 192 <= packet[1] <= 223:
            return
        if not 12 + STAMP <= message.msg_len <= WHOLE:
            return
        memcpy(&arrived, CMSG_DATA(header), sizeof(arrived))
        delay = arrived.tv_sec * SECOND + arrived.tv_nsec - <int64_t>load64(packet + message.msg_len - STAMP)
        if delay < 0:
            delay = 0
        self.slow[min(delay // DELAY_NS, <int64_t>DELAYS - 1)] += 1

    cdef void account(self, const uint8_t *packet, uint32_t size) noexcept nogil:
        if size < 8:
            return
        if 192 <= packet[1] <= 223:
            self.rtcp += 1
            return
        if size < 12:
            return
        self.packets += 1
        self.octets += size
        self.follow(load32(packet + 8), load16(packet + 2))

    cdef void follow(self, uint32_t ssrc, uint16_t seq) noexcept nogil:
        """Counts the numbers skipped; one that comes late gives its count back."""
        cdef uint32_t slot = (ssrc * <uint32_t>2654435761) >> 19
        cdef uint16_t ahead
        cdef Stream *stream = &self.streams[slot]
        while stream.used and stream.ssrc != ssrc:
            slot = (slot + 1) & (STREAMS - 1)
            stream = &self.streams[slot]
        if not stream.used:
            if self.n_streams >= STREAMS // 2:
                return
            self.n_streams += 1
            stream.used, stream.ssrc, stream.seq, stream.packets = 1, ssrc, seq, 1
            return
        stream.packets += 1
        ahead = <uint16_t>(seq - stream.seq)
        if 0 < ahead < 0x8000:
            self.missing += ahead - 1
            stream.seq = seq
        elif ahead and self.missing:
            self.missing -= 1


cdef void wait(int epoll, int64_t until) noexcept nogil:
    """Sleeps until `until` (CLOCK_MONOTONIC) or until a socket of `epoll` is readable; without sockets, on the clock."""
    cdef timespec when
    cdef pollfd one
    cdef int64_t left
    if epoll < 0:
        when.tv_sec = until // SECOND
        when.tv_nsec = until % SECOND
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL)
        return
    left = until - read_clock(CLOCK_MONOTONIC)
    if left <= 0:
        return
    when.tv_sec = left // SECOND
    when.tv_nsec = left % SECOND
    one.fd = epoll
    one.events = POLLIN
    ppoll(&one, 1, &when, NULL)


cdef int64_t loop(
    Source source, Sink sink, int64_t duration, int64_t settle, bint polling, int64_t tick
) noexcept nogil:
    """Sends for `duration`, late if it must, but all of it; returns the thread's CPU time in ns while it sent.

    Receives until nothing came for `settle` ns, so that a forwarder that lags behind is not taken for one that loses.
    """
    cdef int64_t cpu = read_clock(CLOCK_THREAD_CPUTIME_ID)
    cdef int64_t now = read_clock(CLOCK_MONOTONIC)
    cdef int64_t stop = now + duration
    cdef int64_t end = 0
    cdef int64_t due = stop
    cdef bint sending = True
    cdef int got
    if source is not None:
        source.start(now)
    while sending or now < end:
        if sending:
            due = source.fire(now, stop) if source is not None else stop
            if now >= stop or (sink is not None and sink.finishing):
                cpu = read_clock(CLOCK_THREAD_CPUTIME_ID) - cpu
                stop = now
                end = now + (settle if sink is not None else 0)
                sending, due = False, end
            elif source is None and due > now + PATIENCE:
                due = now + PATIENCE
            elif due > stop:
                due = stop
        got = 0
        if sink is not None:
            got = sink.drain_all() if polling or tick else sink.drain_ready()
        if tick and not polling:
            wait(-1, min(due, now + tick))
        elif not got and not polling:
            wait(sink.epoll if sink is not None else -1, due)
        now = read_clock(CLOCK_MONOTONIC)
        if got and not sending and now < stop + LINGER:
            end = now + settle
            due = end
    return cpu


def run(Source source, Sink sink, double seconds, double settle=0.2, bint polling=False, double tick=0):
    """Sends from `source` and counts in `sink` (either may be None) without the GIL; blocks for the whole time.

    A sink that does not poll sleeps for packets; with a `tick` (s) it looks so often, and nobody has to wake it.
    Returns {"cpu_ns": CPU time of this thread while it sent, "sent": …, "received": …}.
    """
    cdef int64_t cpu, duration = <int64_t>(seconds * SECOND), rest = <int64_t>(settle * SECOND)
    cdef int64_t pause = <int64_t>(tick * SECOND)
    if sink is not None and not polling and not pause and sink.epoll < 0:
        raise TypeError("sink must have an epoll descriptor to sleep on")
    if sink is not None:
        sink.start()
    with nogil:
        cpu = loop(source, sink, duration, rest, polling, pause)
    return {
        "cpu_ns": cpu,
        "sent": source.counters() if source is not None else None,
        "received": sink.counters() if sink is not None else None,
    }


def relay(sock, list destinations):
    """Copies each datagram of the blocking socket `sock` to all destinations, until an empty one comes.

    The plainest forwarder there is: no parsing, no encryption. It stands in for the engine when the benchmark itself
    is tested, and shows what receiving adds to the floor.
    """
    cdef uint8_t packet[2048]
    cdef int fd = sock.fileno()
    cdef int i, n = len(destinations)
    cdef ssize_t size
    cdef uint64_t forwarded = 0
    cdef const uint8_t[:] raw
    cdef uint8_t *addresses = <uint8_t *>zeroed(n, ADDRESS_ROOM)
    cdef socklen_t length = 0
    try:
        for i in range(n):
            raw = address_bytes(*destinations[i])
            memcpy(addresses + i * ADDRESS_ROOM, &raw[0], raw.shape[0])
            length = raw.shape[0]
        with nogil:
            while True:
                size = recv(fd, packet, sizeof(packet), 0)
                if size <= 0:
                    break
                for i in range(n):
                    if sendto(fd, packet, size, MSG_DONTWAIT, <sockaddr *>(addresses + i * ADDRESS_ROOM), length) > 0:
                        forwarded += 1
    finally:
        free(addresses)
    return forwarded
