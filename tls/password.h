/* Passwords of users as they are stored: PBKDF2 with HMAC-SHA-256 (RFC 8018 5.2), as text
 *
 *     pbkdf2-sha256$300000$SALT$DIGEST        salt and digest in base64
 *
 * To check one takes a fraction of a second of computing: that is the point of it. Do it as a job, never on the loop.
 */
#ifndef TLS_PASSWORD_H
#define TLS_PASSWORD_H

#include "base/buffer.h"
#include "base/err.h"

#define TLS_PASSWORD_SALT_MAX 64
#define TLS_PASSWORD_DIGEST 32
#define TLS_PASSWORD_ITERATIONS 300000 /* of those that are made here */
#define TLS_PASSWORD_TEXT_MAX 256      /* the longest text that can be one */

struct tls_password {
    uint32_t iterations;
    size_t salt_length;
    uint8_t salt[TLS_PASSWORD_SALT_MAX];
    uint8_t digest[TLS_PASSWORD_DIGEST];
};

/* Of a password, with a fresh salt. ERR_IO: no randomness; ERR_MEMORY. tls_start() comes first. */
MUST_CHECK enum err tls_password_make(struct tls_password *stored, struct slice password);
void tls_password_print(const struct tls_password *stored, struct buffer *out);
/* ERR_SYNTAX for what is none, and for one that is too weak to be meant: under 10000 iterations, under 8 bytes of salt.
 */
MUST_CHECK enum err tls_password_parse(struct tls_password *stored, struct slice text);

/* Is it this password? Takes as long as `iterations` do, the stored ones at least, whatever the answer: give the
 * largest number that any user has, and a user's cost does not show. The bytes are compared in constant time.
 * ERR_MEMORY. */
MUST_CHECK enum err tls_password_check(const struct tls_password *stored, struct slice password, uint32_t iterations,
                                       bool *matches);
/* The very same stored text? Not whether a password is right. */
bool tls_password_equal(const struct tls_password *a, const struct tls_password *b);
/* What an unknown user is checked against: no password matches it. */
struct tls_password tls_password_nobody(uint32_t iterations);

/* A digest of password and stored text under a key of this process, to know again at once what has been checked once.
 */
struct tls_password_mark {
    uint8_t bytes[TLS_PASSWORD_DIGEST];
};
MUST_CHECK enum err tls_password_mark(const uint8_t key[32], const struct tls_password *stored, struct slice password,
                                      struct tls_password_mark *mark);
bool tls_password_mark_equal(const struct tls_password_mark *a, const struct tls_password_mark *b); /* constant time */

#endif
