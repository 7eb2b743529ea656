/* SHA-1 (FIPS 180-4) and HMAC-SHA1 (RFC 2104) for STUN's MESSAGE-INTEGRITY and nothing else: short messages, a few a
 * second. Media authentication has its own kernels. The compression function runs in time independent of the data. */

#ifndef SFU_SHA1_H
#define SFU_SHA1_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { SHA1_BLOCK = 64, SHA1_DIGEST = 20 };

typedef struct {
    uint32_t state[5];
    uint64_t length; /* bytes so far */
    uint8_t block[SHA1_BLOCK];
} Sha1;

static inline uint32_t sha1_rotate(uint32_t x, int n) { return (x << n) | (x >> (32 - n)); }

static inline uint32_t sha1_word(const uint8_t *p) {
    return ((uint32_t)p[0] << 24) | ((uint32_t)p[1] << 16) | ((uint32_t)p[2] << 8) | p[3];
}

static void sha1_compress(uint32_t state[5], const uint8_t *block) {
    uint32_t w[80];
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];

    for (int t = 0; t < 16; t++) w[t] = sha1_word(block + 4 * t);
    for (int t = 16; t < 80; t++) w[t] = sha1_rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);

    for (int t = 0; t < 80; t++) {
        uint32_t f, k;
        if (t < 20) {
            f = (b & c) | (~b & d);
            k = 0x5A827999;
        } else if (t < 40) {
            f = b ^ c ^ d;
            k = 0x6ED9EBA1;
        } else if (t < 60) {
            f = (b & c) | (b & d) | (c & d);
            k = 0x8F1BBCDC;
        } else {
            f = b ^ c ^ d;
            k = 0xCA62C1D6;
        }
        uint32_t next = sha1_rotate(a, 5) + f + e + k + w[t];
        e = d;
        d = c;
        c = sha1_rotate(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

static void sha1_init(Sha1 *s) {
    s->state[0] = 0x67452301;
    s->state[1] = 0xEFCDAB89;
    s->state[2] = 0x98BADCFE;
    s->state[3] = 0x10325476;
    s->state[4] = 0xC3D2E1F0;
    s->length = 0;
}

static void sha1_update(Sha1 *s, const uint8_t *data, size_t len) {
    size_t used = s->length % SHA1_BLOCK;
    s->length += len;
    while (len > 0) {
        size_t take = SHA1_BLOCK - used < len ? SHA1_BLOCK - used : len;
        memcpy(s->block + used, data, take);
        data += take;
        len -= take;
        used += take;
        if (used == SHA1_BLOCK) {
            sha1_compress(s->state, s->block);
            used = 0;
        }
    }
}

static void sha1_final(Sha1 *s, uint8_t digest[SHA1_DIGEST]) {
    static const uint8_t padding[SHA1_BLOCK] = {0x80};
    uint64_t bits = s->length * 8;
    size_t used = s->length % SHA1_BLOCK;
    uint8_t tail[8];

    for (int i = 0; i < 8; i++) tail[i] = (uint8_t)(bits >> (56 - 8 * i));
    sha1_update(s, padding, used < 56 ? 56 - used : 120 - used);
    sha1_update(s, tail, 8);
    for (int i = 0; i < 20; i++) digest[i] = (uint8_t)(s->state[i / 4] >> (24 - 8 * (i % 4)));
}

static void hmac_sha1_init(Sha1 *inner, Sha1 *outer, const uint8_t *key, size_t key_len) {
    uint8_t pad[SHA1_BLOCK] = {0};
    if (key_len > SHA1_BLOCK) {
        sha1_init(inner);
        sha1_update(inner, key, key_len);
        sha1_final(inner, pad);
    } else if (key_len > 0) {
        memcpy(pad, key, key_len);
    }
    for (int i = 0; i < SHA1_BLOCK; i++) pad[i] ^= 0x36;
    sha1_init(inner);
    sha1_update(inner, pad, SHA1_BLOCK);
    for (int i = 0; i < SHA1_BLOCK; i++) pad[i] ^= 0x36 ^ 0x5C;
    sha1_init(outer);
    sha1_update(outer, pad, SHA1_BLOCK);
}

static void hmac_sha1_final(Sha1 *inner, Sha1 *outer, uint8_t digest[SHA1_DIGEST]) {
    sha1_final(inner, digest);
    sha1_update(outer, digest, SHA1_DIGEST);
    sha1_final(outer, digest);
}

/* 1 if equal; looks at every byte whatever it finds. */
static int equal_constant_time(const uint8_t *a, const uint8_t *b, size_t len) {
    volatile uint8_t different = 0;
    for (size_t i = 0; i < len; i++) different = different | (a[i] ^ b[i]);
    return different == 0;
}

#endif
