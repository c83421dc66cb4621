/* How mbedTLS is set up: one configuration object for each kind of session, since toggling one between "verify" and
 * "any certificate" is how a strict policy gets lost. For tls/ only. */
#ifndef TLS_CONFIG_H
#define TLS_CONFIG_H

#include "tls/session.h"

struct mbedtls_ssl_config;
struct mbedtls_x509_crt;
struct mbedtls_pk_context;

enum tls_protocol { TLS_PROTOCOL_SMTP, TLS_PROTOCOL_HTTP };

struct tls_client_kind {
    enum tls_demand demand;
    enum tls_protocol protocol;
    enum tls_version maximum;
};

/* What the configurations point to; it must live as long as they do. */
struct tls_material {
    enum tls_version minimum;
    bool has_old_suites;
    struct mbedtls_x509_crt *anchors;     /* NULL: none */
    struct mbedtls_x509_crt *certificate; /* ours and its issuers, for servers */
    struct mbedtls_pk_context *key;
};
/* The configuration was initialised with mbedtls_ssl_config_init() and is the caller's to free, on error too. */
MUST_CHECK enum err tls_config_client(struct mbedtls_ssl_config *config, const struct tls_material *material,
                                      const struct tls_client_kind *kind);
MUST_CHECK enum err tls_config_server(struct mbedtls_ssl_config *config, const struct tls_material *material);

/* Those of a context. They live as long as it does and are never changed. */
const struct mbedtls_ssl_config *tls_context_client_config(const struct tls_context *context,
                                                           const struct tls_client_kind *kind);
const struct mbedtls_ssl_config *tls_context_server_config(const struct tls_context *context);

/* The servers that sign with RSA-PSS in TLS 1.2, which mbedTLS 3.6.6 offers for TLS 1.3 and then refuses in TLS 1.2
 * (https://github.com/Mbed-TLS/mbedtls/issues/10668): with a maximum of TLS 1.2 it is not offered, and they sign with
 * PKCS #1 instead. To forge such an answer wins an attacker only the version, which has the same proof. */
struct tls_hosts *tls_context_pss_hosts(struct tls_context *context);

#endif
