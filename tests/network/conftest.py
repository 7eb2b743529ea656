"""Hosts that are cut off, and wait."""

import pytest


@pytest.fixture
def patience() -> None:
    """What a test waits for has its own limit."""
