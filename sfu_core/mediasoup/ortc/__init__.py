"""Negotiation (ORTC): pure functions over the API's dictionaries; no Channel, no state.

What comes from outside is validated and normalised first; everything else expects normalised dictionaries.
"""

from .consumer import can_consume, get_consumer_rtp_parameters, get_pipe_consumer_rtp_parameters
from .match import match_codecs
from .producer import get_consumable_rtp_parameters, get_producer_rtp_parameters_mapping
from .router import generate_router_rtp_capabilities
from .validate import (
    validate_rtcp_parameters,
    validate_rtp_capabilities,
    validate_rtp_codec_capability,
    validate_rtp_codec_parameters,
    validate_rtp_encoding_parameters,
    validate_rtp_header_extension,
    validate_rtp_header_extension_parameters,
    validate_rtp_parameters,
    validate_sctp_stream_parameters,
)

__all__ = [
    "can_consume",
    "generate_router_rtp_capabilities",
    "get_consumable_rtp_parameters",
    "get_consumer_rtp_parameters",
    "get_pipe_consumer_rtp_parameters",
    "get_producer_rtp_parameters_mapping",
    "match_codecs",
    "validate_rtcp_parameters",
    "validate_rtp_capabilities",
    "validate_rtp_codec_capability",
    "validate_rtp_codec_parameters",
    "validate_rtp_encoding_parameters",
    "validate_rtp_header_extension",
    "validate_rtp_header_extension_parameters",
    "validate_rtp_parameters",
    "validate_sctp_stream_parameters",
]
