"""Helpers for applications: the emitter the API is made of, and waiting for an event."""

from .emitter import Emitter as EnhancedEventEmitter
from .emitter import once as enhanced_once

__all__ = ["EnhancedEventEmitter", "enhanced_once"]
