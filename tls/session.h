/* One TLS session as a machine over byte rings: ciphertext in and out on one side, plaintext on the other. It never
 * touches a socket. Call it so:
 *
 *   - feed() ciphertext that arrived, write() plaintext to be sent: both only store; end() when the peer's stream
 *     ended.
 *   - work() does what can be done now: handshake flights, decryption, encryption. During the handshake it costs
 *     milliseconds: run it as a job then. While a job runs nothing else may touch the session.
 *   - wire() is ciphertext to send, wired() reports it sent; plain() is plaintext that arrived, consume() takes it.
 *     After wired() and consume() work() again: what waited inside for room goes on then, without another byte from
 *     outside.
 *   - status() says where it is; verdict() what the peer proved.
 *
 * Not one byte of plaintext is given out or taken before the demand is met: under TLS_VERIFY the handshake itself
 * fails. */
#ifndef TLS_SESSION_H
#define TLS_SESSION_H

#include "tls/context.h"

struct tls_session;

enum tls_demand {
    TLS_ENCRYPT, /* any certificate will do; the verdict still says whether it would have been verified */
    TLS_VERIFY,  /* chain to a trust anchor, in its dates, a dNSName SAN for the name (RFC 6125, RFC 8461 4.2) */
};

#define TLS_STATUS_LIST(X)                                                                                             \
    X(HANDSHAKING) /* work() again when bytes arrive */                                                                \
    X(OPEN)        /* plaintext flows; verdict() is final */                                                           \
    X(CLOSED)      /* the peer said close_notify: the plaintext is complete */                                         \
    X(TRUNCATED)   /* the stream ended without close_notify after the handshake */                                     \
    X(FAILED)      /* verdict().failure says why; wire() may hold an alert to send */
enum tls_status {
#define X(name) TLS_##name,
    TLS_STATUS_LIST(X)
#undef X
};

/* Why a handshake failed or a certificate was not verified; names as RFC 8460 4.3 has them where it has one. */
#define TLS_FAILURE_LIST(X)                                                                                            \
    X(NONE, "none", "verified")                                                                                        \
    X(EXPIRED, "certificate-expired", "the certificate has expired")                                                   \
    X(NOT_YET_VALID, "certificate-not-yet-valid", "the certificate is not valid yet (is this machine's clock right?)") \
    X(HOST_MISMATCH, "certificate-host-mismatch", "the certificate is for other names")                                \
    X(NO_DNS_NAME, "certificate-without-dns-name", "the certificate has no DNS subject alternative name")              \
    X(NOT_TRUSTED, "certificate-not-trusted", "the certificate does not chain to a trusted root")                      \
    X(SELF_SIGNED, "certificate-self-signed", "the certificate is self-signed")                                        \
    X(REVOKED, "certificate-revoked", "the certificate is revoked")                                                    \
    X(WEAK, "certificate-weak", "the certificate uses a weak key or signature")                                        \
    X(USAGE, "certificate-not-trusted", "the certificate is not meant for TLS servers (key usage)")                    \
    X(UNSUPPORTED_CERTIFICATE, "certificate-unsupported",                                                              \
      "the certificate uses a feature that this relay cannot check (a critical extension, Ed25519)")                   \
    X(CONSTRAINED, "certificate-not-trusted", "an issuer may not issue for this name (name constraints)")              \
    X(ISSUER, "certificate-not-trusted", "the issuer may not issue certificates, or not so many below each other")     \
    X(TANGLED, "certificate-not-trusted", "there are too many ways to look for a trusted root in what the peer sent")  \
    X(TOO_LARGE, "certificate-too-large",                                                                              \
      "the peer sends more than 16 KB of certificates, or names of authorities, at once, which this relay cannot "     \
      "take "                                                                                                          \
      "(its postmaster can leave out what is not needed)")                                                             \
    X(NO_ANCHORS, "no-trust-anchors", "there are no trust anchors to verify with (see [tls] ca-file)")                 \
    X(PROTOCOL, "validation-failure", "the TLS handshake failed")                                                      \
    X(ALERT, "validation-failure", "the peer ended the TLS handshake with an alert")                                   \
    X(VERSION, "validation-failure", "the peer offers no TLS version that is allowed here")                            \
    X(ENDED, "validation-failure", "the connection ended during the TLS handshake")                                    \
    X(MEMORY, "validation-failure", "out of memory during the TLS handshake")
enum tls_failure {
#define X(name, code, text) TLS_FAILURE_##name,
    TLS_FAILURE_LIST(X)
#undef X
};
const char *tls_failure_code(enum tls_failure failure);
const char *tls_failure_text(enum tls_failure failure);

struct tls_verdict {
    bool secured;             /* the handshake is complete */
    bool verified;            /* complete, and the certificate proved the name: chain, dates, DNS-ID */
    enum tls_failure failure; /* why not verified, or why it failed */
    char version[16];         /* "TLSv1.3"; empty before the handshake is complete */
    char cipher[64];
    char detail[256];     /* cleaned text for the operator: library's reason, the names the certificate has */
    char subject[128];    /* first dNSName of the leaf */
    int64_t not_after_ms; /* of the leaf; 0 when unknown */
    bool retry_at_once;   /* failed by a limit of this library that the next session to the name goes round */
};

/* Why it was not verified, in one phrase with all that is known: "the certificate expired on 2020-02-01...; it is for
 * ..." */
struct slice tls_verdict_print(const struct tls_verdict *verdict, char out[512]);

/* name: the host name that must be proved, an A-label without trailing dot; it is also sent as SNI. Never an address.
 * Empty only with TLS_ENCRYPT. alpn: "http/1.1" or NULL; another choice of the peer fails. NULL: out of memory. */
struct tls_session *tls_session_client(struct tls_context *context, enum tls_demand demand, struct slice name,
                                       const char *alpn);
struct tls_session *tls_session_server(struct tls_context *context);
void tls_session_free(struct tls_session **session);

/* Room in the incoming ring: feed no more than that. */
size_t tls_session_room(const struct tls_session *session);
void tls_session_feed(struct tls_session *session, struct slice ciphertext);
void tls_session_end(struct tls_session *session); /* the peer's stream ended */
void tls_session_work(struct tls_session *session);
struct slice tls_session_wire(const struct tls_session *session);
void tls_session_wired(struct tls_session *session, size_t length);
struct slice tls_session_plain(const struct tls_session *session);
void tls_session_consume(struct tls_session *session, size_t length);
/* Plaintext to be encrypted by the next work(); returns how many bytes were taken (0 while the ring is full). */
size_t tls_session_write(struct tls_session *session, struct slice plaintext);
void tls_session_close(struct tls_session *session); /* queue close_notify for the next work() */
enum tls_status tls_session_status(const struct tls_session *session);
const struct tls_verdict *tls_session_verdict(const struct tls_session *session);
/* Would work() do public-key arithmetic now? True for the whole handshake. */
bool tls_session_is_costly(const struct tls_session *session);

#endif
