"""Between the API's dictionaries and the Channel's messages; pure functions, nothing compiled.

`api` turns messages into what applications see; `rtp` and `network` turn what applications hand in into
messages, raising `TypeError` that names the argument.
"""
