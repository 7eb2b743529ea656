"""What payloads and dependency descriptors say about their frames: see the .pxd for the contract.

Tier 1, any thread. Knows one packet at a time: joining packets to frames and choosing layers is done above.
"""

from libc.stdlib cimport free
from libc.string cimport memset

from sfu_core._bytes cimport load16
from sfu_core._testdoor cimport exact_copy


cdef bint codec_inspect(
    FrameInfo *out, uint8_t codec, const uint8_t *payload, uint32_t len, bint marker
) noexcept nogil:
    memset(out, 0, sizeof(FrameInfo))
    if len == 0:
        return False
    out.end_of_frame = marker
    if codec == CODEC_VP8:
        return inspect_vp8(out, payload, len)
    if codec == CODEC_VP9:
        return inspect_vp9(out, payload, len)
    if codec == CODEC_H264:
        return inspect_h264(out, payload, len)
    if codec == CODEC_AV1:
        return inspect_av1(out, payload)
    out.start_of_frame = 1
    out.end_of_frame = 1
    out.key_frame = 1
    if codec == CODEC_OPUS:
        out.dtx = opus_is_dtx(payload, len)
    return True


# --- Opus (RFC 6716 section 3.2) ---

cdef inline bint opus_is_dtx(const uint8_t *payload, uint32_t len) noexcept nogil:
    """Only frames of length 0: the TOC byte alone (codes 0 and 1), or TOC and an empty first frame (code 2)."""
    cdef uint8_t code = payload[0] & 3
    return (code <= 1 and len == 1) or (code == 2 and len == 2)


# --- VP8 and VP9 (RFC 7741 section 4.2, RFC 9628 section 4.2) ---

cdef inline uint32_t read_picture_id(FrameInfo *out, const uint8_t *payload, uint32_t at, uint32_t len) noexcept nogil:
    """Reads 7 or 15 bits at `at`. Returns the offset behind, or 0 if the payload is too short."""
    if at >= len:
        return 0
    out.picture_id_off = <uint16_t>at
    if not payload[at] & 0x80:
        out.picture_id_bits = 7
        out.picture_id = payload[at]
        return at + 1
    if at + 2 > len:
        return 0
    out.picture_id_bits = 15
    out.picture_id = load16(payload + at) & 0x7FFF
    return at + 2


cdef inline uint32_t read_tl0picidx(FrameInfo *out, const uint8_t *payload, uint32_t at, uint32_t len) noexcept nogil:
    if at >= len:
        return 0
    out.has_tl0picidx = 1
    out.tl0picidx_off = <uint16_t>at
    out.tl0picidx = payload[at]
    return at + 1


cdef bint inspect_vp8(FrameInfo *out, const uint8_t *payload, uint32_t len) noexcept nogil:
    cdef uint8_t first = payload[0]
    cdef uint8_t fields = 0
    cdef uint32_t at = 1
    out.not_reference = (first >> 5) & 1
    out.start_of_frame = first & 0x17 == 0x10            # S, and partition 0
    if first & 0x80:
        if len < 2:
            return False
        fields = payload[1]
        at = 2
    if fields & 0x80:
        at = read_picture_id(out, payload, at, len)
        if at == 0:
            return False
    if fields & 0x40:
        at = read_tl0picidx(out, payload, at, len)
        if at == 0:
            return False
    if fields & 0x30:
        if at >= len:
            return False
        if fields & 0x20:
            out.has_layers = 1
            out.temporal = payload[at] >> 6
            out.switching_up = (payload[at] >> 5) & 1
        if fields & 0x10:
            out.keyidx = payload[at] & 0x1F
        at += 1
    if at >= len:
        return False
    out.key_frame = out.start_of_frame and not payload[at] & 1
    return True


cdef inline uint32_t skip_references(const uint8_t *payload, uint32_t at, uint32_t len) noexcept nogil:
    """Over one to three P_DIFF bytes of the flexible mode. Returns the offset behind, or 0."""
    cdef int i
    for i in range(3):
        if at >= len:
            return 0
        at += 1
        if not payload[at - 1] & 1:
            return at
    return 0


cdef inline uint32_t skip_scalability(const uint8_t *payload, uint32_t at, uint32_t len) noexcept nogil:
    """Over a scalability structure. Returns the offset behind, or 0."""
    cdef uint8_t head
    cdef uint8_t pictures
    cdef uint32_t i
    if at >= len:
        return 0
    head = payload[at]
    at += 1
    if head & 0x10:
        at += 4 * ((head >> 5) + 1)
    if not head & 0x08:
        return at
    if at >= len:
        return 0
    pictures = payload[at]
    at += 1
    for i in range(pictures):
        if at >= len:
            return 0
        at += 1 + ((payload[at] >> 2) & 3)
    return at


cdef bint inspect_vp9(FrameInfo *out, const uint8_t *payload, uint32_t len) noexcept nogil:
    cdef uint8_t first = payload[0]
    cdef uint32_t at = 1
    out.inter_picture = (first >> 6) & 1
    out.start_of_frame = (first >> 3) & 1
    out.end_of_frame = (first >> 2) & 1
    out.not_reference = first & 1
    if first & 0x80:
        at = read_picture_id(out, payload, at, len)
        if at == 0:
            return False
    if first & 0x20:
        if at >= len:
            return False
        out.has_layers = 1
        out.temporal = payload[at] >> 5
        out.switching_up = (payload[at] >> 4) & 1
        out.spatial = (payload[at] >> 1) & 7
        out.inter_layer = payload[at] & 1
        at += 1
        if not first & 0x10:
            at = read_tl0picidx(out, payload, at, len)
            if at == 0:
                return False
    if first & 0x50 == 0x50:
        at = skip_references(payload, at, len)
        if at == 0:
            return False
    if first & 0x02:
        at = skip_scalability(payload, at, len)
        if at == 0:
            return False
    if at >= len:
        return False
    out.key_frame = out.start_of_frame and not out.inter_picture and out.spatial == 0
    return True


# --- H264 (RFC 6184 section 5) ---

cdef inline void note_nal(FrameInfo *out, uint8_t type) noexcept nogil:
    if type == 7:
        out.key_frame = 1
    elif type == 5:
        out.idr = 1


cdef bint inspect_h264(FrameInfo *out, const uint8_t *payload, uint32_t len) noexcept nogil:
    cdef uint8_t type = payload[0] & 0x1F
    cdef uint32_t at = 1
    cdef uint32_t size
    out.start_of_frame = 1
    if type == 24:                                       # STAP-A: (size, NAL unit) until the end
        while at < len:
            if len - at < 3:
                return False
            size = load16(payload + at)
            if size == 0 or size > len - at - 2:
                return False
            note_nal(out, payload[at + 2] & 0x1F)
            at += 2 + size
        return len > 1
    if type == 28 or type == 29:                         # FU-A, FU-B
        if len < 2:
            return False
        out.start_of_frame = payload[1] >> 7
        if out.start_of_frame:
            note_nal(out, payload[1] & 0x1F)
        return True
    note_nal(out, type)
    return True


# --- AV1 (AV1 RTP specification section 4.4) ---

cdef inline bint inspect_av1(FrameInfo *out, const uint8_t *payload) noexcept nogil:
    out.start_of_frame = not payload[0] & 0x80           # Z: goes on with an OBU of the packet before
    out.key_frame = payload[0] & 0x88 == 0x08            # N: first packet of a coded video sequence
    return True


# --- dependency descriptor (AV1 RTP specification, appendix A) ---

cdef struct Bits:
    const uint8_t *data
    uint32_t left            # bits
    uint32_t at
    bint failed              # something was read behind the end: all values since are 0


cdef inline uint32_t take(Bits *bits, uint32_t count) noexcept nogil:
    """f(n) of at most 32 bits."""
    cdef uint32_t value = 0
    if count > bits.left:
        bits.failed = True
        bits.left = 0
        return 0
    bits.left -= count
    while count:
        value = (value << 1) | ((bits.data[bits.at >> 3] >> (7 - (bits.at & 7))) & 1)
        bits.at += 1
        count -= 1
    return value


cdef inline uint32_t take_non_symmetric(Bits *bits, uint32_t n) noexcept nogil:
    """ns(n): a value below n in as few bits as possible."""
    cdef uint32_t width = 0
    cdef uint32_t spare, value
    while n >> width:
        width += 1
    spare = (<uint32_t>1 << width) - n
    value = take(bits, width - 1)
    if value < spare:
        return value
    return (value << 1) - spare + take(bits, 1)


cdef inline uint64_t take_dtis(Bits *bits, uint32_t targets) noexcept nogil:
    cdef uint64_t dtis = 0
    cdef uint32_t i
    for i in range(targets):
        dtis |= <uint64_t>take(bits, 2) << (2 * i)
    return dtis


cdef inline uint8_t dti_of(uint64_t dtis, uint32_t target) noexcept nogil:
    return <uint8_t>(dtis >> (2 * target)) & 3


cdef bint take_template_layers(Bits *bits, DdState *state) noexcept nogil:
    cdef uint8_t spatial = 0
    cdef uint8_t temporal = 0
    cdef uint32_t step
    while True:
        if state.templates == DD_MAX_TEMPLATES or spatial >= DD_MAX_SPATIAL or temporal > 7:
            return False
        state.spatial[state.templates] = spatial
        state.temporal[state.templates] = temporal
        state.templates += 1
        state.max_spatial = spatial
        state.max_temporal = max(state.max_temporal, temporal)
        step = take(bits, 2)
        if bits.failed:
            return False
        if step == 3:
            return True
        if step == 1:
            temporal += 1
        elif step == 2:
            temporal = 0
            spatial += 1


cdef void take_template_fdiffs(Bits *bits, DdState *state) noexcept nogil:
    """Read over: which frames a frame refers to is not needed to choose layers."""
    cdef uint32_t i
    for i in range(state.templates):
        while take(bits, 1):
            take(bits, 4)


cdef void take_template_chains(Bits *bits, DdState *state) noexcept nogil:
    cdef uint32_t i
    state.chains = <uint8_t>take_non_symmetric(bits, <uint32_t>state.targets + 1)
    if state.chains == 0:
        return
    for i in range(state.targets):
        state.protected_by[i] = <uint8_t>take_non_symmetric(bits, state.chains)
    for i in range(<uint32_t>state.templates * state.chains):
        take(bits, 4)


cdef void set_target_layers(DdState *state) noexcept nogil:
    """The layers of a decode target: the highest of the templates that are present in it."""
    cdef uint32_t target, i
    for target in range(state.targets):
        for i in range(state.templates):
            if dti_of(state.dtis[i], target) != DTI_NOT_PRESENT:
                state.target_spatial[target] = max(state.target_spatial[target], state.spatial[i])
                state.target_temporal[target] = max(state.target_temporal[target], state.temporal[i])


cdef bint take_structure(Bits *bits, DdState *state) noexcept nogil:
    cdef uint32_t i
    memset(state, 0, sizeof(DdState))
    state.template_id_offset = <uint8_t>take(bits, 6)
    state.targets = <uint8_t>(take(bits, 5) + 1)
    state.active = all_targets(state.targets)
    if not take_template_layers(bits, state):
        return False
    for i in range(state.templates):
        state.dtis[i] = take_dtis(bits, state.targets)
    take_template_fdiffs(bits, state)
    take_template_chains(bits, state)
    set_target_layers(state)
    if take(bits, 1):
        for i in range(<uint32_t>state.max_spatial + 1):
            state.width[i] = <uint16_t>(take(bits, 16) + 1)
            state.height[i] = <uint16_t>(take(bits, 16) + 1)
    return not bits.failed


cdef inline uint32_t all_targets(uint32_t count) noexcept nogil:
    return 0xFFFFFFFFU if count == 32 else (<uint32_t>1 << count) - 1


cdef inline uint32_t switch_mask(uint64_t dtis, uint32_t targets) noexcept nogil:
    cdef uint32_t mask = 0
    cdef uint32_t i
    for i in range(targets):
        if dti_of(dtis, i) == DTI_SWITCH:
            mask |= <uint32_t>1 << i
    return mask


cdef int take_frame(
    Bits *bits, DdInfo *out, const DdState *state, bint own_dtis, bint own_fdiffs, bint own_chains
) noexcept nogil:
    cdef uint32_t index = (out.template_id - state.template_id_offset) & 63
    cdef uint32_t size, i
    if index >= state.templates:
        return DD_NO_STRUCTURE
    out.spatial = state.spatial[index]
    out.temporal = state.temporal[index]
    out.dtis = take_dtis(bits, state.targets) if own_dtis else state.dtis[index]
    if own_fdiffs:
        size = take(bits, 2)
        while size:
            take(bits, 4 * size)
            size = take(bits, 2)
    if own_chains:
        for i in range(state.chains):
            take(bits, 8)
    out.switch_targets = switch_mask(out.dtis, state.targets)
    return DD_MALFORMED if bits.failed else DD_OK


cdef int dd_parse(DdInfo *out, DdState *state, const uint8_t *value, uint32_t len) noexcept nogil:
    cdef Bits bits
    cdef DdState fresh
    cdef const DdState *used = state
    cdef uint32_t flags = 0
    cdef uint32_t active = state.active
    cdef int status
    memset(out, 0, sizeof(DdInfo))
    if len < 3:
        return DD_MALFORMED
    out.start_of_frame = value[0] >> 7
    out.end_of_frame = (value[0] >> 6) & 1
    out.template_id = value[0] & 63
    out.frame_number = load16(value + 1)
    bits.data = value + 3
    bits.left = 8 * (len - 3)
    bits.at = 0
    bits.failed = False
    if len > 3:
        flags = take(&bits, 5)
    if flags & 0x10:
        if not take_structure(&bits, &fresh):
            return DD_MALFORMED
        out.structure = 1
        used = &fresh
        active = fresh.active
    elif state.templates == 0:
        return DD_NO_STRUCTURE
    if flags & 0x08:
        out.active_changed = 1
        active = take(&bits, used.targets)
    status = take_frame(&bits, out, used, flags & 4 != 0, flags & 2 != 0, flags & 1 != 0)
    if status != DD_OK:
        return status
    if out.structure:
        state[0] = fresh
    state.active = active
    return DD_OK


cdef void dd_apply(FrameInfo *out, const DdInfo *info, const DdState *state) noexcept nogil:
    cdef uint32_t i
    out.has_dd = 1
    out.start_of_frame = info.start_of_frame
    out.end_of_frame = info.end_of_frame
    out.key_frame = info.structure and info.start_of_frame
    out.frame_number = info.frame_number
    out.has_layers = 1
    out.spatial = info.spatial
    out.temporal = info.temporal
    out.dd_switch = info.switch_targets
    out.switching_up = 0
    for i in range(state.targets):
        if ((info.switch_targets >> i) & 1 and state.target_spatial[i] == info.spatial
                and state.target_temporal[i] >= info.temporal):
            out.switching_up = 1


cdef bint dd_can_switch(
    const DdInfo *info, const DdState *state, uint8_t spatial, uint8_t temporal
) noexcept nogil:
    cdef uint32_t i
    for i in range(state.targets):
        if state.target_spatial[i] == spatial and state.target_temporal[i] == temporal:
            return (info.switch_targets >> i) & 1
    return False


# --- test doors ---

def inspect(uint8_t codec, bytes payload not None, bint marker=False):
    """FrameInfo of a payload as a dictionary, or None if it is malformed."""
    cdef FrameInfo info
    cdef bint ok
    cdef uint8_t *copy = exact_copy(payload)
    try:
        ok = codec_inspect(&info, codec, copy, <uint32_t>len(payload), marker)
    finally:
        free(copy)
    return info if ok else None


cdef class Descriptor:
    """A DdState with its parser."""
    cdef DdState state
    cdef DdInfo info

    def parse(self, bytes value not None):
        """(status, DdInfo as a dictionary)."""
        cdef uint8_t *copy = exact_copy(value)
        cdef int status
        try:
            status = dd_parse(&self.info, &self.state, copy, <uint32_t>len(value))
        finally:
            free(copy)
        return status, self.info

    def apply(self, dict info not None):
        """The FrameInfo with the last descriptor put over it."""
        cdef FrameInfo raw = info
        dd_apply(&raw, &self.info, &self.state)
        return raw

    def can_switch(self, uint8_t spatial, uint8_t temporal):
        return bool(dd_can_switch(&self.info, &self.state, spatial, temporal))

    def structure(self):
        """The template structure as a dictionary."""
        cdef uint32_t i
        s = &self.state
        return {
            "templates": [
                (s.spatial[i], s.temporal[i], [dti_of(s.dtis[i], dt) for dt in range(s.targets)])
                for i in range(s.templates)
            ],
            "targets": [(s.target_spatial[i], s.target_temporal[i]) for i in range(s.targets)],
            "chains": s.chains,
            "protected_by": [s.protected_by[i] for i in range(s.targets)],
            "resolutions": [(s.width[i], s.height[i]) for i in range(4) if s.width[i]],
            "active": s.active,
        }


def state_size():
    """Bytes of a DdState."""
    return sizeof(DdState)
