/* Certificates of every kind, made with OpenSSL in memory when a test asks for them by name. */
#ifndef TEST_UNIT_FORGE_H
#define TEST_UNIT_FORGE_H

#include "test/unit/check.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#define FORGED_MAX 512

/* Extensions as in openssl.cnf, with a bar between. */
#define FORGE_AUTHORITY "basicConstraints=critical,CA:TRUE|keyUsage=critical,keyCertSign,cRLSign"
#define FORGE_HOST "subjectAltName=DNS:mx.example.com"

enum forge_dates { FORGE_NOW, FORGE_PAST, FORGE_FUTURE };

struct forge {
    const char *name;
    const char *issuer;  /* its name; NULL: itself */
    const char *subject; /* "CN=x", "O=y/CN=x"; NULL: CN is the name */
    const char *key;     /* NULL: one of its own. "rsa..." is weak, "ed..." Ed25519, others see forge_key() */
    const char *extensions;
    enum forge_dates dates;
    const char *digest; /* NULL: SHA-256 */
    bool is_damaged;    /* the signature */
    bool is_old;        /* version 1 */
};

struct forged {
    char name[48];
    X509 *x509;
    EVP_PKEY *key;
};

struct forged_key {
    char name[48];
    EVP_PKEY *key;
};

static struct forged forged[FORGED_MAX];
static struct forged_key forged_keys[FORGED_MAX];

/* RSA with a public exponent that nobody needs. */
static inline EVP_PKEY *forge_slow_key(void)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    BIGNUM *exponent = BN_new();
    assert_true(BN_set_bit(exponent, 0) && BN_set_bit(exponent, 80));
    assert_int_equal(EVP_PKEY_keygen_init(context), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_keygen_bits(context, 3136), 1);
    assert_int_equal(EVP_PKEY_CTX_set1_rsa_keygen_pubexp(context, exponent), 1);
    assert_int_equal(EVP_PKEY_generate(context, &key), 1);
    EVP_PKEY_CTX_free(context);
    BN_free(exponent);
    return key;
}

static inline EVP_PKEY *forge_key(const char *name)
{
    size_t i = 0;
    while (i < FORGED_MAX && forged_keys[i].key != NULL && strcmp(forged_keys[i].name, name) != 0)
        i++;
    assert_true(i < FORGED_MAX);
    if (forged_keys[i].key == NULL) {
        snprintf(forged_keys[i].name, sizeof forged_keys[i].name, "%s", name);
        forged_keys[i].key = strncmp(name, "rsa", 3) == 0     ? EVP_RSA_gen(1024)
                             : strncmp(name, "slow", 4) == 0  ? forge_slow_key()
                             : strncmp(name, "brain", 5) == 0 ? EVP_EC_gen("brainpoolP512r1")
                             : strncmp(name, "ed", 2) == 0    ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                                                              : EVP_EC_gen("P-256");
    }
    return forged_keys[i].key;
}

/* NULL when nobody has made it. */
static inline struct forged *forge_find(const char *name)
{
    for (size_t i = 0; i < FORGED_MAX && forged[i].x509 != NULL; i++) {
        if (strcmp(forged[i].name, name) == 0)
            return &forged[i];
    }
    return NULL;
}

static inline void forge_name(X509_NAME *name, const char *text)
{
    char all[128], *rest = all;
    snprintf(all, sizeof all, "%s", text);
    for (char *part = strsep(&rest, "/"); part != NULL; part = strsep(&rest, "/")) {
        char *value = strchr(part, '=');
        if (value == NULL)
            continue;
        *value++ = '\0';
        X509_NAME_add_entry_by_txt(name, part, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0);
    }
}

static inline void forge_extensions(X509 *x509, X509 *issuer, const char *text)
{
    char all[1024], *rest = all;
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, x509, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&context);
    snprintf(all, sizeof all, "%s", text);
    for (char *part = strsep(&rest, "|"); part != NULL; part = strsep(&rest, "|")) {
        char *value = strchr(part, '=');
        if (value == NULL)
            continue;
        *value++ = '\0';
        X509_EXTENSION *extension = X509V3_EXT_nconf(NULL, &context, part, value);
        if (extension == NULL)
            fail_msg("extension %s = %s", part, value);
        X509_add_ext(x509, extension, -1);
        X509_EXTENSION_free(extension);
    }
}

static inline void forge(const struct forge *plan)
{
    static long serial = 1000;
    size_t i = 0;
    while (i < FORGED_MAX && forged[i].x509 != NULL)
        i++;
    assert_true(i < FORGED_MAX);
    assert_null(forge_find(plan->name));
    struct forged *made = &forged[i], *issuer = plan->issuer == NULL ? made : forge_find(plan->issuer);
    if (issuer == NULL)
        fail_msg("%s: no issuer %s", plan->name, plan->issuer);
    char subject[64];
    snprintf(subject, sizeof subject, "CN=%s", plan->name);
    snprintf(made->name, sizeof made->name, "%s", plan->name);
    made->key = forge_key(plan->key == NULL ? plan->name : plan->key);
    made->x509 = X509_new();
    X509_set_version(made->x509, plan->is_old ? X509_VERSION_1 : X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made->x509), serial++);
    forge_name(X509_get_subject_name(made->x509), plan->subject == NULL ? subject : plan->subject);
    X509_set_issuer_name(made->x509, X509_get_subject_name(issuer->x509));
    long day = 86400, from = plan->dates == FORGE_FUTURE ? day : -40 * day;
    X509_gmtime_adj(X509_getm_notBefore(made->x509), from);
    X509_gmtime_adj(X509_getm_notAfter(made->x509), plan->dates == FORGE_PAST ? -day : 40 * day);
    X509_set_pubkey(made->x509, made->key);
    if (!plan->is_old)
        forge_extensions(made->x509, issuer->x509, plan->extensions == NULL ? FORGE_AUTHORITY : plan->extensions);
    bool is_edwards = EVP_PKEY_get_base_id(issuer->key) == EVP_PKEY_ED25519;
    EVP_PKEY *signer = plan->is_damaged ? forge_key("somebody else's") : issuer->key;
    const char *digest = plan->digest == NULL ? "SHA256" : plan->digest;
    assert_true(X509_sign(made->x509, signer, is_edwards ? NULL : EVP_get_digestbyname(digest)) > 0);
}

/* The certificates of the names, with spaces between. */
static inline STACK_OF(X509) * forge_stack(const char *names)
{
    char all[512], *rest = all;
    STACK_OF(X509) *stack = sk_X509_new_null();
    snprintf(all, sizeof all, "%s", names);
    for (char *name = strsep(&rest, " "); name != NULL; name = strsep(&rest, " ")) {
        struct forged *found = name[0] == '\0' ? NULL : forge_find(name);
        if (found == NULL && name[0] != '\0')
            fail_msg("there is no certificate \"%s\"", name);
        if (found != NULL)
            sk_X509_push(stack, found->x509);
    }
    return stack;
}

static inline void forge_clear(void)
{
    for (size_t i = 0; i < FORGED_MAX; i++) {
        X509_free(forged[i].x509);
        EVP_PKEY_free(forged_keys[i].key);
    }
}

#endif
