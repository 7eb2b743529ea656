"""A bad network on the wire, for tests that need one."""
