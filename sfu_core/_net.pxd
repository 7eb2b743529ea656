"""The socket calls of `c/net.h` as Cython sees them. Only tier 4 makes them."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "net.h" nogil:
    enum: NET_RX, NET_BATCH, NET_EVENTS
    enum: NET_SENT_ALL, NET_BLOCKED, NET_NO_GSO, NET_FAILED

    ctypedef struct net_rx:
        uint8_t *slots

    ctypedef struct net_tx:
        uint32_t count
        uint32_t datagrams
        uint32_t *first

    void net_rx_init(net_rx *rx, uint8_t *slots) noexcept
    int net_receive(net_rx *rx, int fd) noexcept
    uint32_t net_length(const net_rx *rx, int i) noexcept
    uint32_t net_rx_address(const net_rx *rx, int i, uint8_t *to) noexcept
    uint32_t net_make_address(uint8_t *to, const uint8_t *ip, uint32_t ip_length, uint16_t port) noexcept
    uint16_t net_port(const uint8_t *address) noexcept
    const uint8_t *net_ip(const uint8_t *address, uint32_t length, uint32_t *ip_length) noexcept
    uint32_t net_local(int fd, uint8_t *to) noexcept
    uint32_t net_remote(int fd, uint8_t *to) noexcept
    void net_tx_reset(net_tx *tx) noexcept
    void net_tx_message(net_tx *tx, const uint8_t *address, uint32_t length, uint32_t index) noexcept
    void net_tx_datagram(net_tx *tx, uint8_t *data, uint32_t length) noexcept
    void net_tx_segment(net_tx *tx, uint16_t segment) noexcept
    uint32_t net_tx_segments(const net_tx *tx, uint32_t message) noexcept
    int net_send(net_tx *tx, int fd, uint32_t start, uint32_t *sent) noexcept
    int net_send_one(int fd, const uint8_t *data, uint32_t length, const uint8_t *address, uint32_t size) noexcept
    long net_stream_read(int fd, uint8_t *data, uint32_t length) noexcept
    long net_stream_write(int fd, const uint8_t *data, uint32_t length) noexcept
    int net_accept(int fd, uint8_t *address, uint32_t *length) noexcept
    bint net_watch(int epoll_fd, int fd, uint64_t tag, bint add, bint writable) noexcept
    void net_unwatch(int epoll_fd, int fd) noexcept
    int64_t net_monotonic_ns() noexcept
    int64_t net_unix_ns() noexcept
    void net_sleep_ns(int64_t ns) noexcept
    int net_wait(int epoll_fd, int timeout_ms, uint64_t *tags, uint32_t *ready) noexcept
    void net_ring_bell(int fd) noexcept
    void net_hear_bell(int fd) noexcept
