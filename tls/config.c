#include "tls/config.h"

#include <mbedtls/build_info.h>
#include <mbedtls/psa_util.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ciphersuites.h>
#include <mbedtls/x509_crt.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

#if MBEDTLS_VERSION_NUMBER < 0x03060600
#error "mbedTLS 3.6.6 or later is needed: before it a client accepts signatures that it did not offer (CVE-2026-25834)"
#endif

#define DH_BITS_MIN 2048

#define AES_1_3 MBEDTLS_TLS1_3_AES_128_GCM_SHA256, MBEDTLS_TLS1_3_AES_256_GCM_SHA384
#define CHACHA_1_3 MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256
#define AES_1_2                                                                                                        \
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,                    \
        MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
#define CHACHA_1_2                                                                                                     \
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
/* For mail servers that know nothing better; still with forward secrecy. */
#define OLD_1_2                                                                                                        \
    MBEDTLS_TLS_DHE_RSA_WITH_AES_128_GCM_SHA256, MBEDTLS_TLS_DHE_RSA_WITH_AES_256_GCM_SHA384,                          \
        MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,                \
        MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384, MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384,                \
        MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,                      \
        MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA
/* Without forward secrecy: better than plaintext, so only where plaintext is the alternative. */
#define STATIC_RSA_1_2                                                                                                 \
    MBEDTLS_TLS_RSA_WITH_AES_128_GCM_SHA256, MBEDTLS_TLS_RSA_WITH_AES_256_GCM_SHA384,                                  \
        MBEDTLS_TLS_RSA_WITH_AES_128_CBC_SHA256, MBEDTLS_TLS_RSA_WITH_AES_128_CBC_SHA,                                 \
        MBEDTLS_TLS_RSA_WITH_AES_256_CBC_SHA

/* [the processor has AES instructions] */
static const int suites_served[2][16] = {
    {CHACHA_1_3, AES_1_3, CHACHA_1_2, AES_1_2, 0},
    {AES_1_3, CHACHA_1_3, AES_1_2, CHACHA_1_2, 0},
};
static const int suites_strong[2][32] = {
    {CHACHA_1_3, AES_1_3, CHACHA_1_2, AES_1_2, OLD_1_2, 0},
    {AES_1_3, CHACHA_1_3, AES_1_2, CHACHA_1_2, OLD_1_2, 0},
};
static const int suites_any[2][32] = {
    {CHACHA_1_3, AES_1_3, CHACHA_1_2, AES_1_2, OLD_1_2, STATIC_RSA_1_2, 0},
    {AES_1_3, CHACHA_1_3, AES_1_2, CHACHA_1_2, OLD_1_2, STATIC_RSA_1_2, 0},
};

/* RSA first: to verify with it costs a tenth of ECDSA here, and a server that has both kinds of certificate chooses by
 * this order. PKCS #1 before PSS: TLS 1.3 passes over it, and in TLS 1.2 the library refuses PSS (see
 * tls_context_pss_hosts()). */
static const uint16_t client_signatures[] = {
    MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA256,       MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA384,
    MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA512,       MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA256,
    MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA384,    MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA512,
    MBEDTLS_TLS1_3_SIG_ECDSA_SECP256R1_SHA256, MBEDTLS_TLS1_3_SIG_ECDSA_SECP384R1_SHA384,
    MBEDTLS_TLS1_3_SIG_ECDSA_SECP521R1_SHA512, MBEDTLS_TLS1_3_SIG_NONE,
};

/* A key share is sent for the first only. X25519 is slower here, and alone would exclude P-256 certificates in TLS 1.2.
 */
static const uint16_t groups[] = {
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1, MBEDTLS_SSL_IANA_TLS_GROUP_X25519, MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1,
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP521R1, MBEDTLS_SSL_IANA_TLS_GROUP_NONE,
};

static const char *const http_protocols[] = {"http/1.1", NULL};
/* A client that asks for another protocol was redirected here from elsewhere (ALPACA); one that asks for none is usual.
 * The names are those that mail servers use by convention: none is registered. */
static const char *const smtp_protocols[] = {"smtp", "esmtp", NULL};

static enum err set_common(mbedtls_ssl_config *config, const struct tls_material *material, int endpoint);
static mbedtls_ssl_protocol_version number_of(enum tls_version version);
static bool has_fast_aes(void);

enum err tls_config_client(mbedtls_ssl_config *config, const struct tls_material *material,
                           const struct tls_client_kind *kind)
{
    bool verify = kind->demand == TLS_VERIFY;
    enum err err = set_common(config, material, MBEDTLS_SSL_IS_CLIENT);
    if (err != ERR_NONE) {
        return err;
    }
    mbedtls_ssl_conf_max_tls_version(config, number_of(kind->maximum));
    mbedtls_ssl_conf_authmode(config, verify ? MBEDTLS_SSL_VERIFY_REQUIRED : MBEDTLS_SSL_VERIFY_OPTIONAL);
    mbedtls_ssl_conf_ca_chain(config, material->anchors, NULL);
    mbedtls_ssl_conf_ciphersuites(config, verify ? suites_strong[has_fast_aes()] : suites_any[has_fast_aes()]);
    mbedtls_ssl_conf_sig_algs(config, client_signatures);
    mbedtls_ssl_conf_session_tickets(config, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
    if (verify) {
        mbedtls_ssl_conf_dhm_min_bitlen(config, DH_BITS_MIN);
    }
    if (kind->protocol == TLS_PROTOCOL_HTTP &&
        mbedtls_ssl_conf_alpn_protocols(config, (const char **)http_protocols) != 0) {
        return ERR_MEMORY;
    }
    return ERR_NONE;
}

enum err tls_config_server(mbedtls_ssl_config *config, const struct tls_material *material)
{
    enum err err = set_common(config, material, MBEDTLS_SSL_IS_SERVER);
    if (err != ERR_NONE) {
        return err;
    }
    mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_NONE);
    /* CBC in TLS 1.2 encrypts what was authenticated before, in one timing-prone step after another (Lucky 13). */
    mbedtls_ssl_conf_ciphersuites(config, material->has_old_suites ? suites_strong[has_fast_aes()]
                                                                   : suites_served[has_fast_aes()]);
    mbedtls_ssl_conf_session_tickets(config, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
    mbedtls_ssl_conf_new_session_tickets(config, 0);
    if (mbedtls_ssl_conf_own_cert(config, material->certificate, material->key) != 0 ||
        mbedtls_ssl_conf_alpn_protocols(config, (const char **)smtp_protocols) != 0) {
        return ERR_MEMORY;
    }
    return ERR_NONE;
}

static enum err set_common(mbedtls_ssl_config *config, const struct tls_material *material, int endpoint)
{
    if (mbedtls_ssl_config_defaults(config, endpoint, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT) != 0) {
        return ERR_MEMORY;
    }
    mbedtls_ssl_conf_rng(config, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
    mbedtls_ssl_conf_min_tls_version(config, number_of(material->minimum));
    mbedtls_ssl_conf_max_tls_version(config, number_of(TLS_1_3));
    mbedtls_ssl_conf_groups(config, groups);
    /* No resumption: a session that was resumed proves no certificate. */
    mbedtls_ssl_conf_tls13_key_exchange_modes(config, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL);
    return ERR_NONE;
}

static mbedtls_ssl_protocol_version number_of(enum tls_version version)
{
    return version == TLS_1_3 ? MBEDTLS_SSL_VERSION_TLS1_3 : MBEDTLS_SSL_VERSION_TLS1_2;
}

/* Without them mbedTLS encrypts AES from tables, slower than ChaCha20 and open to cache timing. */
static bool has_fast_aes(void)
{
#if defined(__x86_64__) || defined(__i386__)
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#elif defined(__aarch64__)
    return (getauxval(AT_HWCAP) & (1UL << 3 | 1UL << 4)) == (1UL << 3 | 1UL << 4); /* HWCAP_AES, HWCAP_PMULL */
#else
    return false;
#endif
}
