/* What a peer's certificates showed: gathered while mbedTLS walks the chain, since afterwards a refused chain is gone,
 * and judged when the handshake has ended. For tls/ only.
 *
 * Give tls_evidence_gather() to mbedtls_ssl_set_verify() with the evidence; it sees the chain root first, leaf last. */
#ifndef TLS_CERTIFICATE_H
#define TLS_CERTIFICATE_H

#include "tls/session.h"

struct mbedtls_x509_crt;

enum tls_name_finding {
    TLS_NAME_UNSEEN,     /* no certificate came */
    TLS_NAME_UNREADABLE, /* one came that the library leaves out: its signature algorithm is unknown */
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
    uint32_t trouble;             /* the flags of the certificate with the worst trouble, names apart; 0: none */
    char trouble_text[256];       /* whose and what, as a sentence */
    char issuer_key[48];          /* "RSA, 2048 bits": of the certificate above the one that was seen last */
    char names[128], issuer[128]; /* of the leaf */
    char subject[128];            /* its first dNSName */
    int64_t not_after_ms;
};

/* mbedTLS's callback: adds MBEDTLS_X509_BADCERT_CN_MISMATCH to the leaf's flags when our own check finds no proof. */
int tls_evidence_gather(void *evidence, struct mbedtls_x509_crt *certificate, int depth, uint32_t *flags);
/* Does the certificate have a dNSName SAN that matches the host (RFC 6125, RFC 8461 4.2)? NULL has none. */
enum tls_name_finding tls_certificate_names(const struct mbedtls_x509_crt *certificate, struct slice host);
/* Fills failure, detail, subject and not_after_ms. flags: the library's final result, 0 when all is well. */
void tls_evidence_judge(const struct tls_evidence *evidence, uint32_t flags, struct tls_verdict *verdict);

#endif
