"""Slots, handles and queues: the part of the engine's door that does not know what travels through it."""

import os
import secrets
import select
from collections import deque

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from sfu_core._commands cimport COMMAND_STOP, Command
from sfu_core._core cimport Core
from sfu_core._engine_read cimport core_stats, decode_event
from sfu_core._events cimport EVENT_CONNECTION, FREED_CONTEXT, FREED_LINK, FREED_SHARE
from sfu_core._loop cimport loop_run, loop_step
from sfu_core._memory cimport (
    Capacities, memory_bytes, memory_close, memory_close_contents, memory_close_link, memory_close_share, memory_open,
    table_at,
)
from sfu_core._net cimport net_hear_bell, net_monotonic_ns, net_ring_bell, net_unix_ns, net_watch
from sfu_core._records cimport (
    TABLE_NACKS, TABLE_PRODUCERS, TABLE_RECV, TABLE_SEND, TABLE_SENT, TABLE_SOCKETS, TABLE_TRANSPORTS,
)
from sfu_core._ring cimport ring_commit, ring_consume, ring_peek, ring_publish, ring_reserve
from sfu_core._slab cimport NONE, SLOT_FREE, Head, give_slot, slot_open, slot_retire, slots_used, take_slot
from sfu_core._srtp cimport SrtpContext, srtp_context_free

from sfu_core.shared_memory import make_memory


cdef class Door:
    def __cinit__(
        self, *, uint64_t history_bytes=67108864, uint32_t transports=4096, uint32_t producers=4096,
        uint32_t recv_streams=8192, uint32_t send_streams=32768, str latency="normal",
    ):
        cdef Capacities capacities
        if latency not in ("normal", "low"):
            raise TypeError("latency must be 'normal' or 'low'")
        self.low_latency = latency == "low"
        self.event_fd = self.command_fd = self.slab_fd = -1
        self.core = <Core *>calloc(1, sizeof(Core))
        if self.core == NULL:
            raise MemoryError()
        capacities.history_bytes = history_bytes
        capacities.transports = transports
        capacities.producers = producers
        capacities.recv_streams = recv_streams
        capacities.send_streams = send_streams
        self.slab_fd = make_memory("sfu-core", memory_bytes(&capacities))
        if not memory_open(self.core, &self.ends, &capacities, self.slab_fd):
            raise MemoryError("the media slab could not be mapped")
        self.waiting = deque()
        self.open_descriptors()

    cdef int open_descriptors(self) except -1:
        cdef Core *core = self.core
        core.seed = int.from_bytes(secrets.token_bytes(8), "little")
        core.random = int.from_bytes(secrets.token_bytes(8), "little")
        core.unix_offset_ns = net_unix_ns() - net_monotonic_ns()
        self.event_fd = core.event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.command_fd = core.command_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.epoll = select.epoll()
        core.epoll_fd = self.epoll.fileno()
        net_watch(core.epoll_fd, self.command_fd, 0, True, False)
        return 0

    def run(self):
        with nogil:
            loop_run(self.core, self.low_latency)

    def step(self, int64_t now_ns):
        with nogil:
            loop_step(self.core, now_ns)

    def stop(self):
        self.post(COMMAND_STOP, 0, 0, b"")

    def close(self):
        if self.core != NULL:
            for event in self.poll(0xFFFFFFFF):
                if event[0] == EVENT_CONNECTION:         # nobody will take it to where it belongs
                    os.close(event[5])
            memory_close_contents(self.core, &self.ends)
            self.release()

    cdef void release(self):
        memory_close(self.core, &self.ends)
        free(self.core)
        self.core = NULL
        if self.epoll is not None:
            self.epoll.close()
        for fd in (self.event_fd, self.command_fd, self.slab_fd):
            if fd >= 0:
                os.close(fd)

    def __dealloc__(self):
        if self.core != NULL:
            self.release()

    # ------------------------------------------------------------ slots and handles

    cdef Head *head(self, int kind, uint32_t index):
        return <Head *>(table_at(self.core, kind) + self.core.header.tables[kind].stride * index)

    cdef uint32_t take(self, int kind, str what) except? 0xFFFFFFFF:
        """A slot, all zero but for its generation."""
        cdef uint32_t fresh = self.ends.slots[kind].fresh
        cdef uint32_t index
        cdef Head *head
        self.collect_freed()
        index = take_slot(&self.ends.slots[kind])
        if index == NONE:
            raise BufferError(f"this core has no room for another {what}")
        head = self.head(kind, index)
        slot_open(head)
        if index < fresh:
            memset(head + 1, 0, self.core.header.tables[kind].stride - sizeof(Head))
        return index

    cdef uint64_t handle(self, int kind, uint32_t index):
        return (<uint64_t>self.head(kind, index).generation << 32) | index

    cdef uint32_t find(self, int kind, uint64_t handle, str what) except? 0xFFFFFFFF:
        cdef uint32_t index = <uint32_t>handle
        if self.core == NULL:
            raise LookupError("the engine is closed")
        if index >= self.core.header.tables[kind].capacity or self.head(kind, index).generation != handle >> 32:
            raise LookupError(f"no {what} with handle {handle:#x}")
        return index

    cdef void retire(self, int kind, uint32_t index):
        """From now on no handle leads here; the slot is free when the media thread has said so."""
        slot_retire(self.head(kind, index))

    cdef void collect_freed(self):
        cdef const uint8_t *data
        cdef uint32_t kind = 0
        cdef uint32_t length = 0
        cdef uint64_t value
        while True:
            data = ring_peek(&self.ends.freed, &kind, &length)
            if data == NULL:
                return
            memcpy(&value, data, 8)
            ring_consume(&self.ends.freed, length)
            if kind == FREED_CONTEXT:
                srtp_context_free(<SrtpContext *>value)
            elif kind == FREED_LINK:
                memory_close_link(self.core, <uint32_t>value)
            elif kind == FREED_SHARE:
                memory_close_share(self.core, <uint32_t>value)
            else:
                give_slot(&self.ends.slots[kind], <uint32_t>value)

    cdef int post(self, uint32_t code, uint32_t index, uint64_t value, bytes tail) except -1:
        cdef Command command
        memset(&command, 0, sizeof(command))
        command.index = index
        command.value = value
        return self.post_command(code, &command, tail)

    cdef int post_new(self, uint32_t code, int kind, uint32_t index) except -1:
        """Hand a new object over; its slot is free again when the queue has no room."""
        try:
            return self.post(code, index, 0, b"")
        except BufferError:
            self.drop_slot(kind, index)
            raise

    cdef int post_close(self, uint32_t code, uint32_t index) except -1:
        """Closing is never refused: what finds no room waits, in order, for the next call."""
        try:
            return self.post(code, index, 0, b"")
        except BufferError:
            self.waiting.append((code, index))
            return 0

    cdef int post_command(self, uint32_t code, const Command *command, bytes tail) except -1:
        cdef bint written
        if self.core == NULL:
            raise LookupError("the engine is closed")
        written = self.post_waiting() and self.write_command(code, command, tail)
        if ring_publish(&self.ends.commands):    # also what waited, if only that found room
            net_ring_bell(self.command_fd)
        if not written:
            raise BufferError("the command queue of the media thread is full")
        return 0

    cdef bint post_waiting(self):
        cdef Command command
        memset(&command, 0, sizeof(command))
        while self.waiting:
            command.index = self.waiting[0][1]
            if not self.write_command(self.waiting[0][0], &command, b""):
                return False
            self.waiting.popleft()
        return True

    cdef bint write_command(self, uint32_t code, const Command *command, bytes tail):
        cdef uint32_t length = <uint32_t>(sizeof(Command) + len(tail))
        cdef uint8_t *place = <uint8_t *>ring_reserve(&self.ends.commands, length)
        if place == NULL:
            return False
        memcpy(place, command, sizeof(Command))
        memcpy(place + sizeof(Command), <const char *>tail, len(tail))
        ring_commit(&self.ends.commands, code, length)
        return True

    cdef void drop_slot(self, int kind, uint32_t index):
        self.retire(kind, index)
        self.head(kind, index).state = SLOT_FREE
        give_slot(&self.ends.slots[kind], index)

    def poll(self, uint32_t limit=512):
        cdef list found = []
        cdef const uint8_t *data
        cdef uint32_t kind = 0
        cdef uint32_t length = 0
        net_hear_bell(self.event_fd)
        self.collect_freed()
        if self.waiting:
            self.post_waiting()
            if ring_publish(&self.ends.commands):
                net_ring_bell(self.command_fd)
        while len(found) < limit:
            data = ring_peek(&self.ends.events, &kind, &length)
            if data == NULL:
                return found
            found.append(decode_event(kind, data, length))
            ring_consume(&self.ends.events, length)
        net_ring_bell(self.event_fd)
        return found

    def core_stats(self):
        return core_stats(self.core)

    def slots_used(self):
        self.collect_freed()
        return {
            "sockets": slots_used(&self.ends.slots[<int>TABLE_SOCKETS]),
            "transports": slots_used(&self.ends.slots[<int>TABLE_TRANSPORTS]),
            "producers": slots_used(&self.ends.slots[<int>TABLE_PRODUCERS]),
            "recvStreams": slots_used(&self.ends.slots[<int>TABLE_RECV]),
            "sendStreams": slots_used(&self.ends.slots[<int>TABLE_SEND]),
            "nackLists": slots_used(&self.ends.slots[<int>TABLE_NACKS]),
            "sentRings": slots_used(&self.ends.slots[<int>TABLE_SENT]),
            "tuples": slots_used(&self.core.free_tuples),
            "connections": slots_used(&self.core.free_connections),
            "ssrcs": slots_used(&self.core.free_ssrcs),
            "backlog": slots_used(&self.core.free_backlog),
        }
