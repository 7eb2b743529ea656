"""Workers of other hosts behind mediasoup's API: a client and a server for them, and many hosts as one."""
