/*
 * The socket calls of the media thread, in the form that one call on the packet path needs: addresses, message
 * headers and control messages are C macros that Cython cannot say.
 */
#ifndef SFU_NET_H
#define SFU_NET_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#define NET_BATCH 128
#define NET_RX 64
#define NET_SLOT 2048

/* Receive: one array for all sockets, used for the socket being drained. */
typedef struct {
    struct mmsghdr messages[NET_RX];
    struct iovec iovecs[NET_RX];
    struct sockaddr_in6 addresses[NET_RX];
    uint8_t *slots;
} net_rx;

static inline void net_rx_init(net_rx *rx, uint8_t *slots) {
    memset(rx, 0, sizeof *rx);
    rx->slots = slots;
    for (int i = 0; i < NET_RX; i++) {
        rx->iovecs[i].iov_base = slots + (size_t)i * NET_SLOT;
        rx->iovecs[i].iov_len = NET_SLOT;
        rx->messages[i].msg_hdr.msg_iov = &rx->iovecs[i];
        rx->messages[i].msg_hdr.msg_iovlen = 1;
        rx->messages[i].msg_hdr.msg_name = &rx->addresses[i];
    }
}

/* Number of datagrams read, 0 when there are none, -1 on error. */
static inline int net_receive(net_rx *rx, int fd) {
    for (int i = 0; i < NET_RX; i++) rx->messages[i].msg_hdr.msg_namelen = sizeof rx->addresses[i];
    int count = recvmmsg(fd, rx->messages, NET_RX, MSG_DONTWAIT, NULL);
    if (count < 0) return errno == EAGAIN || errno == EINTR || errno == ECONNREFUSED ? 0 : -1;
    return count;
}

static inline uint32_t net_length(const net_rx *rx, int i) {
    if (rx->messages[i].msg_hdr.msg_flags & MSG_TRUNC) return NET_SLOT + 1;
    return rx->messages[i].msg_len;
}

/* An address as the engine compares it: unused bytes zero. Returns its length, 0 if it is of no kind it knows. */
static inline uint32_t net_address(const struct sockaddr_in6 *from, uint8_t *to) {
    memset(to, 0, 28);
    if (from->sin6_family == AF_INET) {
        memcpy(to, from, 8); /* family, port, address; the rest is padding */
        return sizeof(struct sockaddr_in);
    }
    if (from->sin6_family != AF_INET6) return 0;
    memcpy(to, from, 4);
    memcpy(to + 8, &from->sin6_addr, 16);
    memcpy(to + 24, &from->sin6_scope_id, 4);
    return sizeof(struct sockaddr_in6);
}

static inline uint32_t net_rx_address(const net_rx *rx, int i, uint8_t *to) {
    return net_address(&rx->addresses[i], to);
}

/* ip: 4 or 16 bytes in network order. */
static inline uint32_t net_make_address(uint8_t *to, const uint8_t *ip, uint32_t ip_length, uint16_t port) {
    struct sockaddr_in6 six;
    memset(&six, 0, sizeof six);
    if (ip_length == 4) {
        struct sockaddr_in *four = (struct sockaddr_in *)&six;
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        memcpy(&four->sin_addr, ip, 4);
    } else {
        six.sin6_family = AF_INET6;
        six.sin6_port = htons(port);
        memcpy(&six.sin6_addr, ip, 16);
    }
    return net_address(&six, to);
}

static inline uint16_t net_port(const uint8_t *address) { return (uint16_t)(address[2] << 8 | address[3]); }

static inline const uint8_t *net_ip(const uint8_t *address, uint32_t length, uint32_t *ip_length) {
    *ip_length = length == sizeof(struct sockaddr_in) ? 4 : 16;
    return address + (*ip_length == 4 ? 4 : 8);
}

static inline uint32_t net_local(int fd, uint8_t *to) {
    struct sockaddr_in6 name;
    socklen_t size = sizeof name;
    memset(&name, 0, sizeof name);
    if (getsockname(fd, (struct sockaddr *)&name, &size)) return 0;
    return net_address(&name, to);
}

static inline uint32_t net_remote(int fd, uint8_t *to) {
    struct sockaddr_in6 name;
    socklen_t size = sizeof name;
    memset(&name, 0, sizeof name);
    if (getpeername(fd, (struct sockaddr *)&name, &size)) return 0;
    return net_address(&name, to);
}

/* Send: a run of datagrams to addresses over one socket; equal neighbours may share a message (UDP GSO). */
typedef struct {
    struct mmsghdr messages[NET_BATCH];
    struct iovec iovecs[NET_BATCH];
    uint8_t control[NET_BATCH][CMSG_SPACE(sizeof(uint16_t))] __attribute__((aligned(8)));
    uint32_t first[NET_BATCH]; /* index of the first datagram of each message */
    uint32_t count;            /* messages */
    uint32_t datagrams;
} net_tx;

static inline void net_tx_reset(net_tx *tx) { tx->count = tx->datagrams = 0; }

static inline void net_tx_message(net_tx *tx, const uint8_t *address, uint32_t length, uint32_t index) {
    struct msghdr *header = &tx->messages[tx->count].msg_hdr;
    memset(header, 0, sizeof *header);
    header->msg_name = (void *)address;
    header->msg_namelen = length;
    header->msg_iov = &tx->iovecs[tx->datagrams];
    tx->first[tx->count++] = index;
}

/* Add a datagram to the message opened last. */
static inline void net_tx_datagram(net_tx *tx, uint8_t *data, uint32_t length) {
    tx->iovecs[tx->datagrams].iov_base = data;
    tx->iovecs[tx->datagrams].iov_len = length;
    tx->datagrams++;
    tx->messages[tx->count - 1].msg_hdr.msg_iovlen++;
}

/* The message opened last holds several datagrams of `segment` bytes (the last may be shorter). */
static inline void net_tx_segment(net_tx *tx, uint16_t segment) {
    struct msghdr *header = &tx->messages[tx->count - 1].msg_hdr;
    header->msg_control = tx->control[tx->count - 1];
    header->msg_controllen = sizeof tx->control[0];
    struct cmsghdr *control = CMSG_FIRSTHDR(header);
    control->cmsg_level = IPPROTO_UDP;
    control->cmsg_type = UDP_SEGMENT;
    control->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    memcpy(CMSG_DATA(control), &segment, sizeof segment);
}

static inline uint32_t net_tx_segments(const net_tx *tx, uint32_t message) {
    return (uint32_t)tx->messages[message].msg_hdr.msg_iovlen;
}

enum { NET_SENT_ALL = 0, NET_BLOCKED = 1, NET_NO_GSO = 2, NET_FAILED = 3 };

/* Send from message `from` on; *sent messages went out. Why it stopped, if it did. */
static inline int net_send(net_tx *tx, int fd, uint32_t from, uint32_t *sent) {
    int count = sendmmsg(fd, tx->messages + from, tx->count - from, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count >= 0) {
        *sent = (uint32_t)count;
        return NET_SENT_ALL;
    }
    *sent = 0;
    if (errno == EAGAIN || errno == ENOBUFS) return NET_BLOCKED;
    if ((errno == EIO || errno == EINVAL) && net_tx_segments(tx, from) > 1) return NET_NO_GSO;
    return NET_FAILED;
}

/* One datagram; NET_SENT_ALL, NET_BLOCKED or NET_FAILED. */
static inline int net_send_one(int fd, const uint8_t *data, uint32_t length, const uint8_t *address, uint32_t size) {
    if (sendto(fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)address, size) >= 0)
        return NET_SENT_ALL;
    return errno == EAGAIN || errno == ENOBUFS ? NET_BLOCKED : NET_FAILED;
}

/* Stream sockets: bytes moved, 0 when it would block, -1 when the connection is gone. */
static inline long net_stream_read(int fd, uint8_t *data, uint32_t length) {
    ssize_t count = recv(fd, data, length, MSG_DONTWAIT);
    if (count > 0) return count;
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    return -1;
}

static inline long net_stream_write(int fd, const uint8_t *data, uint32_t length) {
    ssize_t count = send(fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count >= 0) return count;
    return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

/* The next waiting connection, or -1. */
static inline int net_accept(int fd, uint8_t *address, uint32_t *length) {
    struct sockaddr_in6 from;
    socklen_t size = sizeof from;
    int one = 1;
    memset(&from, 0, sizeof from);
    int accepted = accept4(fd, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted < 0) return -1;
    *length = net_address(&from, address);
    setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return accepted;
}

static inline bool net_watch(int epoll_fd, int fd, uint64_t tag, bool add, bool writable) {
    struct epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = EPOLLIN | (writable ? EPOLLOUT : 0);
    event.data.u64 = tag;
    return epoll_ctl(epoll_fd, add ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) == 0;
}

static inline void net_unwatch(int epoll_fd, int fd) { epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL); }

static inline int64_t net_monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static inline int64_t net_unix_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static inline void net_sleep_ns(int64_t ns) {
    struct timespec pause = {0, ns};
    nanosleep(&pause, NULL);
}

/* Ready descriptors: tags and whether they are readable (1), writable (2), both (3); timeout in ms, -1 for ever. */
#define NET_EVENTS 64
static inline int net_wait(int epoll_fd, int timeout_ms, uint64_t *tags, uint32_t *ready) {
    struct epoll_event events[NET_EVENTS];
    int count = epoll_wait(epoll_fd, events, NET_EVENTS, timeout_ms);
    for (int i = 0; i < count; i++) {
        tags[i] = events[i].data.u64;
        ready[i] = (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) ? 1u : 0u) | (events[i].events & EPOLLOUT ? 2u : 0u);
    }
    return count < 0 ? 0 : count;
}

static inline void net_ring_bell(int fd) {
    uint64_t one = 1;
    ssize_t ignored = write(fd, &one, sizeof one);
    (void)ignored;
}

static inline void net_hear_bell(int fd) {
    uint64_t count;
    ssize_t ignored = read(fd, &count, sizeof count);
    (void)ignored;
}

#endif
