/* What a peer's certificates showed: gathered while mbedTLS walks the chain, since afterwards a refused chain is gone,
 * and judged when the handshake has ended. For tls/ only.
 *
 * path.c finds the paths that it sees, each from the root to the leaf. */
#ifndef TLS_CERTIFICATE_H
#define TLS_CERTIFICATE_H

#include "tls/session.h"

struct mbedtls_x509_crt;

/* What we find out ourselves, beside the library's MBEDTLS_X509_BADCERT_*. */
#define TLS_FLAG_CONSTRAINED UINT32_C(0x01000000) /* may not issue for the name */
#define TLS_FLAG_EXTENSION UINT32_C(0x02000000)   /* has a critical extension that nobody here understands */
#define TLS_FLAG_ISSUER UINT32_C(0x04000000)      /* may not issue at all, or not so deep a path */
#define TLS_FLAG_TANGLED UINT32_C(0x08000000)     /* the search for a path was given up */
#define TLS_FLAG_UNREAD UINT32_C(0x10000000)      /* the leaf is bytes and a key only */

enum tls_name_finding {
    TLS_NAME_UNSEEN,     /* no certificate came */
    TLS_NAME_UNREADABLE, /* one came that the library cannot read */
    TLS_NAME_PROVED,     /* a dNSName SAN matches the host */
    TLS_NAME_OTHER,      /* there are dNSName SANs, for other hosts */
    TLS_NAME_ABSENT,     /* no dNSName SAN at all; a common name or URI does not count */
};

struct tls_evidence {
    struct slice host; /* to be proved; empty: nothing can be proved */
    size_t anchor_count;
    enum tls_name_finding name;
    bool self_signed;             /* the leaf */
    size_t sent_count;            /* certificates that the peer sent */
    char unread_reason[128];      /* of one that could not be read */
    uint32_t trouble;             /* the flags of the certificate with the worst trouble, names apart; 0: none */
    char trouble_text[256];       /* whose and what, as a sentence */
    char issuer_key[48];          /* "RSA, 2048 bits": of the certificate above the one that was seen last */
    char names[128], issuer[128]; /* of the leaf */
    char subject[128];            /* its first dNSName */
    int64_t not_after_ms;
};

/* mbedTLS's callback: adds what we find out ourselves to the flags, to the leaf's MBEDTLS_X509_BADCERT_CN_MISMATCH when
 * our own check finds no proof. */
int tls_evidence_gather(void *evidence, struct mbedtls_x509_crt *certificate, int depth, uint32_t *flags);
/* Does the certificate have a dNSName SAN that matches the host (RFC 6125, RFC 8461 4.2)? NULL has none. */
enum tls_name_finding tls_certificate_names(const struct mbedtls_x509_crt *certificate, struct slice host);
/* The peer's certificate cannot be read. */
void tls_evidence_unread(struct tls_evidence *evidence, const struct mbedtls_x509_crt *certificate);
/* The only issuer that there was may not issue. */
void tls_evidence_denied(struct tls_evidence *evidence, const struct mbedtls_x509_crt *issuer);
/* Is what these flags say less bad? */
bool tls_evidence_is_better(uint32_t flags, uint32_t than);
/* Fills failure, detail, subject and not_after_ms. flags: the library's final result, 0 when all is well. */
void tls_evidence_judge(const struct tls_evidence *evidence, uint32_t flags, struct tls_verdict *verdict);

#endif
