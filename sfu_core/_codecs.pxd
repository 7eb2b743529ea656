"""What a payload says about its frame: key frames and layers of VP8, VP9, H264, AV1 and Opus, and the dependency descriptor.

Tier 1: pure functions over payload bytes. The only state is the template structure of a dependency descriptor, in a
`DdState` that belongs to the stream and is given by the caller.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef enum Codec:
    CODEC_NONE = 0
    CODEC_OPUS = 1
    CODEC_MULTIOPUS = 2
    CODEC_PCMU = 3
    CODEC_PCMA = 4
    CODEC_ISAC = 5
    CODEC_G722 = 6
    CODEC_ILBC = 7
    CODEC_SILK = 8
    CODEC_CN = 9
    CODEC_TELEPHONE_EVENT = 10
    CODEC_RED = 11
    CODEC_AUDIO_OTHER = 31
    CODEC_VP8 = 32           # from here on video
    CODEC_VP9 = 33
    CODEC_H264 = 34
    CODEC_AV1 = 35


cdef enum Dti:
    """Decode target indication of a frame for one decode target."""
    DTI_NOT_PRESENT = 0
    DTI_DISCARDABLE = 1
    DTI_SWITCH = 2
    DTI_REQUIRED = 3


cdef enum DdStatus:
    DD_OK = 0
    DD_MALFORMED = 1
    DD_NO_STRUCTURE = 2      # refers to templates that have not been seen (or not any more)


cdef enum:
    DD_MAX_TEMPLATES = 64
    DD_MAX_TARGETS = 32
    DD_MAX_SPATIAL = 4


# Facts of one packet. Fields of absent things are 0; `*_off` are offsets in the payload, 0 = absent.
cdef struct FrameInfo:
    uint32_t dd_switch       # bit per decode target for which the frame is a switching point
    uint16_t picture_id      # VP8, VP9: 7 or 15 bits
    uint16_t picture_id_off
    uint16_t tl0picidx_off
    uint16_t frame_number    # dependency descriptor
    uint8_t picture_id_bits  # 0, 7 or 15
    uint8_t has_tl0picidx
    uint8_t tl0picidx
    uint8_t keyidx           # VP8, 5 bits
    uint8_t key_frame        # first packet of a frame from which decoding can start (H264: one that holds an SPS)
    uint8_t idr              # H264: holds or starts an IDR slice
    uint8_t start_of_frame   # H264: of a NAL unit; AV1 without descriptor: of an OBU
    uint8_t end_of_frame     # of the layer's frame; a picture of several spatial layers ends with the marker
    uint8_t has_layers       # spatial and temporal are known
    uint8_t spatial
    uint8_t temporal
    uint8_t switching_up     # from here on the frame's temporal layer can be added (VP8 Y, VP9 U, descriptor)
    uint8_t inter_layer      # VP9 D: depends on the spatial layer below
    uint8_t inter_picture    # VP9 P: depends on earlier pictures
    uint8_t not_reference    # VP8 N: no other frame depends on it. VP9 Z: no higher spatial layer does
    uint8_t dtx              # Opus: comfort noise only
    uint8_t has_dd


# Template structure of one stream, 768 bytes; all zero = none seen.
cdef struct DdState:
    uint64_t dtis[64]                # per template, 2 bits a decode target, target 0 lowest
    uint8_t spatial[64]
    uint8_t temporal[64]
    uint8_t target_spatial[32]       # highest layers of each decode target
    uint8_t target_temporal[32]
    uint8_t protected_by[32]         # chain of each decode target (if chains > 0)
    uint16_t width[4]                # render resolution of each spatial layer, 0 = not told
    uint16_t height[4]
    uint32_t active                  # decode targets that are being sent, bit per target
    uint8_t templates                # 0 = no structure
    uint8_t targets
    uint8_t chains
    uint8_t template_id_offset
    uint8_t max_spatial
    uint8_t max_temporal


cdef struct DdInfo:
    uint64_t dtis                    # of this frame, 2 bits a decode target
    uint32_t switch_targets          # bit per decode target with DTI_SWITCH
    uint16_t frame_number
    uint8_t start_of_frame
    uint8_t end_of_frame
    uint8_t template_id
    uint8_t structure                # the packet carries the template structure: a key frame
    uint8_t active_changed           # the packet tells which decode targets are active
    uint8_t spatial
    uint8_t temporal


cdef inline bint codec_is_video(uint8_t codec) noexcept nogil:
    return codec >= CODEC_VP8


# Clears and fills `out` from a payload (padding removed; `marker` from the header). False if it is empty or malformed;
# `out` then tells nothing. Codecs without layers or key frames: every packet is a frame of its own.
cdef bint codec_inspect(
    FrameInfo *out, uint8_t codec, const uint8_t *payload, uint32_t len, bint marker
) noexcept nogil

# Parses a dependency descriptor (AV1 RTP specification, appendix A). `state` changes only if all of it is well-formed.
cdef int dd_parse(DdInfo *out, DdState *state, const uint8_t *value, uint32_t len) noexcept nogil

# Puts the descriptor's facts over those of the payload (it knows better: layers, frame borders, key frames).
cdef void dd_apply(FrameInfo *out, const DdInfo *info, const DdState *state) noexcept nogil

# Whether a receiver can start to get decode target (spatial, temporal) at this frame.
cdef bint dd_can_switch(
    const DdInfo *info, const DdState *state, uint8_t spatial, uint8_t temporal
) noexcept nogil
