"""Which core owns a remote address on a port that several cores share: a table in one sealed memfd. Tier 1.

Each core writes a partition of its own and reads all. A bucket has, for each core, one word with eight tags of a byte:
whoever looks an address up reads the words of all cores of a bucket, which lie side by side (64 cores: eight cache
lines), and an entry only where its tag fits. An address has two buckets, and goes to the emptier one. A hash or a tag is
never an identity: an entry is compared in full. The seed of the hash is secret.

Whatever is read may be nonsense that another core wrote: then a datagram goes astray, nothing else.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from sfu_core._types cimport Address

cdef extern from "flows.h" nogil:
    enum: FLOW_WORDS

    ctypedef struct flow_entry:
        pass

    ctypedef struct flow_tags:
        pass

    uint64_t flow_load(const flow_tags *tags) noexcept
    void flow_store(flow_tags *tags, uint64_t value) noexcept
    void flow_write(flow_entry *e, const uint64_t *key, uint64_t checked_ns) noexcept
    bint flow_matches(const flow_entry *e, const uint64_t *key, uint64_t *checked_ns) noexcept


cdef enum:
    FLOW_CORES = 256             # that may share a port
    FLOW_SLOTS = 16384           # addresses of one core: far more than its tuples, so that buckets do not fill up


cdef struct FlowTable:
    # One process's view; `memory` is not its own.
    flow_tags *tags              # [bucket][core]
    flow_entry *entries          # [core][bucket][8]
    uint64_t seed
    uint32_t cores
    uint32_t own                 # the partition that this process writes


cdef uint64_t flows_bytes(uint32_t cores) noexcept nogil
# `memory` has `bytes`, as `flows_bytes` says for what its header names. False if it is no such table. The own partition
# is empty from then on.
cdef bint flows_attach(FlowTable *f, void *memory, uint64_t bytes, uint32_t own) noexcept nogil
# The address is ours, and has just been checked. False: there is no room for it.
cdef bint flows_put(FlowTable *f, uint32_t listener, const Address *remote, int64_t now_ns) noexcept nogil
cdef void flows_remove(FlowTable *f, uint32_t listener, const Address *remote) noexcept nogil
# The other one of the first `cores` that says it is its own (if there are several, who checked it last), and when it
# checked it; or NONE.
cdef uint32_t flows_owner(
    const FlowTable *f, uint32_t cores, uint32_t listener, const Address *remote, int64_t *checked_ns
) noexcept nogil
