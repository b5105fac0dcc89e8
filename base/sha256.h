/* base/sha256.h - SHA-256 (FIPS 180-4), for fingerprints of models and of logits. */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

struct sha256 {
    uint32_t state[8];
    uint64_t n_bytes;
    uint8_t  block[64];
};

struct sha256 cm_sha256(void);
void          cm_sha256_add(struct sha256 *sha, const void *bytes, size_t n_bytes);
/* The digest of all bytes so far, as 64 hex digits and a NUL; more may be added afterwards. */
void          cm_sha256_hex(const struct sha256 *sha, char hex[65]);

#endif
