"""Calls between sfu_core and the implementations its users meet: Chromium, aiortc, GStreamer, FFmpeg."""
