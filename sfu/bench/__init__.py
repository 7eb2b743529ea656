"""`sfu bench`: what forwarding costs on this machine. Rounds are in `forward`, load processes in `load`."""
