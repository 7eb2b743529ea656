"""The loss-based estimate and the limits; see _remb.pxd.

Each second, with the next report of losses: below 2 % the estimate may grow, by 8 % (until the first loss: at once), but never
beyond 1.5 times what came, because nobody has shown that more would pass; a quiet sender does not lower it. Above 10 % it
falls by half the loss. In between it stays.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

cdef enum:
    START_BPS = 300000


cdef void remb_init(RembState *r, uint32_t mode) noexcept nogil:
    memset(r, 0, sizeof(RembState))
    r.mode = mode


cdef void remb_set_limit(RembState *r, uint64_t max_bps) noexcept nogil:
    if r.max_bps and not max_bps:
        r.farewells = REMB_LIMIT_REMOVED
    elif max_bps:
        r.farewells = 0
    r.max_bps = max_bps
    r.next_ns = 0


cdef void update(RembState *r, int64_t elapsed_ns) noexcept nogil:
    cdef double loss = <double>r.lost / <double>r.expected if r.expected else 0.0
    cdef double estimate = <double>r.estimate_bps if r.estimate_bps else <double>START_BPS
    cdef double ceiling
    r.incoming_bps = <uint64_t>(<double>r.bytes * 8e9 / <double>elapsed_ns)
    ceiling = 1.5 * <double>r.incoming_bps
    if loss >= 0.02:
        r.lossy = 1
    if loss > 0.1:
        estimate *= 1.0 - 0.5 * min(loss, 1.0)
    elif loss < 0.02 and estimate < ceiling:
        estimate = min(ceiling, estimate * 1.08) if r.lossy else ceiling
    r.estimate_bps = <uint64_t>max(estimate, <double>REMB_MIN_BPS)


cdef bint take_estimate(RembState *r, int64_t now_ns, uint64_t *bitrate) noexcept nogil:
    cdef bint heard = r.bytes != 0
    cdef int64_t elapsed = now_ns - r.window_ns
    if r.window_ns and elapsed < (REMB_INTERVAL_NS if r.expected else 2 * <int64_t>REMB_INTERVAL_NS):
        return False
    if r.window_ns and heard:
        update(r, elapsed)
    r.window_ns = now_ns
    r.bytes = r.expected = r.lost = 0
    if not r.estimate_bps or not heard:
        return False
    bitrate[0] = min(r.estimate_bps, r.max_bps) if r.max_bps else r.estimate_bps
    return True


cdef bint take_limit(RembState *r, int64_t now_ns, uint64_t *bitrate) noexcept nogil:
    if not r.bytes or now_ns < r.next_ns or not (r.max_bps or r.farewells):
        return False
    r.bytes = 0
    r.next_ns = now_ns + REMB_LIMIT_INTERVAL_NS
    r.farewells -= 1 if r.farewells else 0
    bitrate[0] = r.max_bps
    return True


cdef bint remb_take(RembState *r, int64_t now_ns, uint64_t *bitrate) noexcept nogil:
    if r.mode == REMB_ESTIMATE:
        return take_estimate(r, now_ns, bitrate)
    return r.mode == REMB_LIMIT and take_limit(r, now_ns, bitrate)


# --- for tests and fuzzing ---

cdef class Estimate:
    """One RembState."""

    cdef RembState state

    def __init__(self, uint32_t mode):
        remb_init(&self.state, mode)

    def set_limit(self, uint64_t max_bps):
        remb_set_limit(&self.state, max_bps)

    def on_packet(self, uint32_t size):
        remb_on_packet(&self.state, size)

    def on_loss(self, uint32_t expected, uint32_t lost):
        remb_on_loss(&self.state, expected, lost)

    def take(self, int64_t now_ns):
        """The bitrate to announce now, or None."""
        cdef uint64_t bitrate = 0
        return bitrate if remb_take(&self.state, now_ns, &bitrate) else None
