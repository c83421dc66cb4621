#include "tls/context.h"

#include "tls/code.h"
#include "tls/config.h"
#include "tls/hosts.h"
#include "tls/pem.h"

#include <assert.h>
#include <mbedtls/pk.h>
#include <mbedtls/psa_util.h>
#include <mbedtls/sha256.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define DEMAND_COUNT 2
#define PROTOCOL_COUNT 2
#define MAXIMUM_COUNT 2
#define CLIENT_COUNT (DEMAND_COUNT * PROTOCOL_COUNT * MAXIMUM_COUNT)

/* Parsed once, and shared by the contexts that go on with them. */
struct anchors {
    atomic_size_t reference_count;
    mbedtls_x509_crt certificates;
    size_t count;
    uint64_t generation;
};
struct own {
    atomic_size_t reference_count;
    mbedtls_x509_crt certificate;
    mbedtls_pk_context key;
};

struct tls_context {
    atomic_size_t reference_count;
    struct anchors *anchors;
    struct own *own;                          /* NULL: this context serves no clients */
    mbedtls_ssl_config clients[CLIENT_COUNT]; /* see index_of() */
    mbedtls_ssl_config server;
    struct tls_hosts pss_hosts;
};

/* Where distributions keep the bundle: Debian and Alpine, Fedora, older Fedora, SUSE, and Alpine without the package.
 */
static const char *const system_bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
};

static size_t index_of(const struct tls_client_kind *kind);
static struct tls_client_kind kind_at(size_t index);
static struct tls_context *make_empty(void);
static void destroy(struct tls_context *context);
static bool drop(atomic_size_t *reference_count);
static void share(atomic_size_t *reference_count);
static enum err make_anchors(struct tls_context *context, const struct tls_context_options *options,
                             struct buffer *fault, struct buffer *warnings);
static enum err make_own(struct tls_context *context, const struct tls_context_options *options, struct buffer *fault);
static void free_anchors(struct anchors *anchors);
static void free_own(struct own *own);
static enum err load_anchors(struct anchors *anchors, struct slice path, struct buffer *fault, struct buffer *warnings);
static enum err load_named_anchors(struct anchors *anchors, struct slice path, struct buffer *fault,
                                   struct buffer *warnings);
static struct slice find_system_bundle(void);
static enum err number_generation(struct anchors *anchors);
static enum err load_own(struct own *own, const struct tls_context_options *options, struct buffer *fault);
static enum err load_certificate(struct own *own, struct slice path, struct buffer *fault);
static enum err load_key(struct own *own, struct slice path, struct buffer *fault);
static enum err configure(struct tls_context *context, const struct tls_context_options *options, struct buffer *fault);
static bool start_memory(struct tls_context *context);

enum err tls_start(void)
{
    return psa_crypto_init() == PSA_SUCCESS ? ERR_NONE : ERR_IO;
}

void tls_stop(void)
{
    mbedtls_psa_crypto_free();
}

enum err tls_context_new(const struct tls_context_options *options, struct tls_context **context, struct buffer *fault,
                         struct buffer *warnings)
{
    *context = NULL;
    struct tls_context *made = make_empty();
    if (made == NULL) {
        return ERR_MEMORY;
    }
    enum err err = make_anchors(made, options, fault, warnings);
    if (err == ERR_NONE) {
        err = make_own(made, options, fault);
    }
    if (err == ERR_NONE) {
        err = configure(made, options, fault);
    }
    if (err != ERR_NONE) {
        destroy(made);
        return err;
    }
    *context = made;
    return ERR_NONE;
}

struct tls_context *tls_context_share(struct tls_context *context)
{
    share(&context->reference_count);
    return context;
}

void tls_context_free(struct tls_context **context)
{
    struct tls_context *left = *context;
    *context = NULL;
    if (left != NULL && drop(&left->reference_count)) {
        destroy(left);
    }
}

struct slice tls_context_bundle(struct slice ca_file)
{
    return ca_file.length > 0 ? ca_file : find_system_bundle();
}

size_t tls_context_anchor_count(const struct tls_context *context)
{
    return context->anchors->count;
}

bool tls_context_serves(const struct tls_context *context)
{
    return context->own != NULL;
}

uint64_t tls_context_generation(const struct tls_context *context)
{
    return context->anchors->generation;
}

const mbedtls_ssl_config *tls_context_client_config(const struct tls_context *context,
                                                    const struct tls_client_kind *kind)
{
    return &context->clients[index_of(kind)];
}

const mbedtls_ssl_config *tls_context_server_config(const struct tls_context *context)
{
    return &context->server;
}

struct tls_hosts *tls_context_pss_hosts(struct tls_context *context)
{
    return &context->pss_hosts;
}

static size_t index_of(const struct tls_client_kind *kind)
{
    return ((size_t)kind->demand * PROTOCOL_COUNT + (size_t)kind->protocol) * MAXIMUM_COUNT + (size_t)kind->maximum;
}

static struct tls_client_kind kind_at(size_t index)
{
    return (struct tls_client_kind){
        .demand = (enum tls_demand)(index / MAXIMUM_COUNT / PROTOCOL_COUNT),
        .protocol = (enum tls_protocol)(index / MAXIMUM_COUNT % PROTOCOL_COUNT),
        .maximum = (enum tls_version)(index % MAXIMUM_COUNT),
    };
}

static struct tls_context *make_empty(void)
{
    struct tls_context *context = calloc(1, sizeof *context);
    if (context == NULL) {
        return NULL;
    }
    atomic_init(&context->reference_count, 1);
    for (size_t i = 0; i < CLIENT_COUNT; i++) {
        mbedtls_ssl_config_init(&context->clients[i]);
    }
    mbedtls_ssl_config_init(&context->server);
    return context;
}

static void destroy(struct tls_context *context)
{
    for (size_t i = 0; i < CLIENT_COUNT; i++) {
        mbedtls_ssl_config_free(&context->clients[i]);
    }
    mbedtls_ssl_config_free(&context->server);
    free_own(context->own);
    free_anchors(context->anchors);
    free(context);
}

static void share(atomic_size_t *reference_count)
{
    size_t before = atomic_fetch_add_explicit(reference_count, 1, memory_order_relaxed);
    assert(before > 0);
}

/* Was it the last? Release what this thread did with it, acquire what the others did, before it is destroyed. */
static bool drop(atomic_size_t *reference_count)
{
    size_t before = atomic_fetch_sub_explicit(reference_count, 1, memory_order_acq_rel);
    assert(before > 0);
    return before == 1;
}

static enum err make_anchors(struct tls_context *context, const struct tls_context_options *options,
                             struct buffer *fault, struct buffer *warnings)
{
    if (options->anchors_of != NULL) {
        context->anchors = options->anchors_of->anchors;
        share(&context->anchors->reference_count);
        return ERR_NONE;
    }
    context->anchors = calloc(1, sizeof *context->anchors);
    if (context->anchors == NULL) {
        return ERR_MEMORY;
    }
    atomic_init(&context->anchors->reference_count, 1);
    mbedtls_x509_crt_init(&context->anchors->certificates);
    enum err err = load_anchors(context->anchors, options->ca_file, fault, warnings);
    return err == ERR_NONE ? number_generation(context->anchors) : err;
}

static enum err make_own(struct tls_context *context, const struct tls_context_options *options, struct buffer *fault)
{
    if (options->own_of != NULL) {
        context->own = options->own_of->own;
        if (context->own != NULL) {
            share(&context->own->reference_count);
        }
        return ERR_NONE;
    }
    if (options->certificate.length == 0 && options->key.length == 0) {
        return ERR_NONE;
    }
    context->own = calloc(1, sizeof *context->own);
    if (context->own == NULL) {
        return ERR_MEMORY;
    }
    atomic_init(&context->own->reference_count, 1);
    mbedtls_x509_crt_init(&context->own->certificate);
    mbedtls_pk_init(&context->own->key);
    return load_own(context->own, options, fault);
}

static void free_anchors(struct anchors *anchors)
{
    if (anchors != NULL && drop(&anchors->reference_count)) {
        mbedtls_x509_crt_free(&anchors->certificates);
        free(anchors);
    }
}

static void free_own(struct own *own)
{
    if (own != NULL && drop(&own->reference_count)) {
        mbedtls_pk_free(&own->key);
        mbedtls_x509_crt_free(&own->certificate);
        free(own);
    }
}

static enum err load_anchors(struct anchors *anchors, struct slice path, struct buffer *fault, struct buffer *warnings)
{
    if (path.length > 0) {
        return load_named_anchors(anchors, path, fault, warnings);
    }
    struct slice found = find_system_bundle();
    if (found.length == 0) {
        buffer_add(warnings,
                   SLICE("no bundle of trust anchors was found on this system: no certificate can be verified "
                         "(install ca-certificates, or set [tls] ca-file)\n"));
        return ERR_NONE;
    }
    struct buffer reason;
    buffer_init(&reason, 4096);
    enum err err = load_named_anchors(anchors, found, &reason, warnings);
    if (err != ERR_NONE && err != ERR_MEMORY) {
        buffer_print(warnings, "%.*s: no certificate can be verified\n", SLICE_ARGS(buffer_slice(&reason)));
        err = ERR_NONE;
    }
    buffer_free(&reason);
    return err;
}

static enum err load_named_anchors(struct anchors *anchors, struct slice path, struct buffer *fault,
                                   struct buffer *warnings)
{
    struct tls_pem pem;
    enum err err = tls_pem_open(&pem, path, fault);
    if (err != ERR_NONE) {
        return err;
    }
    err = tls_pem_certificates(&pem, &anchors->certificates, &anchors->count, warnings);
    if (err == ERR_NONE && anchors->count == 0) {
        buffer_print(fault, "%.*s: no certificate found", SLICE_ARGS(path));
        err = ERR_SYNTAX;
    }
    tls_pem_close(&pem);
    return err;
}

static struct slice find_system_bundle(void)
{
    for (size_t i = 0; i < sizeof system_bundles / sizeof system_bundles[0]; i++) {
        if (access(system_bundles[i], F_OK) == 0) {
            return slice_of(system_bundles[i]);
        }
    }
    return SLICE_EMPTY;
}

/* The first eight bytes of SHA-256 over the anchors in their order, as a big-endian number. */
static enum err number_generation(struct anchors *anchors)
{
    unsigned char digest[32];
    mbedtls_sha256_context hash;
    mbedtls_sha256_init(&hash);
    int code = mbedtls_sha256_starts(&hash, 0);
    for (mbedtls_x509_crt *anchor = &anchors->certificates; code == 0 && anchor != NULL && anchor->raw.p != NULL;
         anchor = anchor->next) {
        code = mbedtls_sha256_update(&hash, anchor->raw.p, anchor->raw.len);
    }
    if (code == 0) {
        code = mbedtls_sha256_finish(&hash, digest);
    }
    mbedtls_sha256_free(&hash);
    for (size_t i = 0; code == 0 && i < sizeof anchors->generation; i++) {
        anchors->generation = anchors->generation << 8 | digest[i];
    }
    return code == 0 ? ERR_NONE : ERR_IO;
}

static enum err load_own(struct own *own, const struct tls_context_options *options, struct buffer *fault)
{
    if (options->certificate.length == 0 || options->key.length == 0) {
        buffer_print(fault, "%.*s%.*s: a certificate and its key are needed together", SLICE_ARGS(options->certificate),
                     SLICE_ARGS(options->key));
        return ERR_SYNTAX;
    }
    enum err err = load_certificate(own, options->certificate, fault);
    if (err == ERR_NONE) {
        err = load_key(own, options->key, fault);
    }
    if (err != ERR_NONE) {
        return err;
    }
    int code = mbedtls_pk_check_pair(&own->certificate.pk, &own->key, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
    if (tls_code_is_memory(code)) {
        return ERR_MEMORY;
    }
    if (code != 0) {
        buffer_print(fault, "%.*s: the key does not belong to the first certificate of %.*s", SLICE_ARGS(options->key),
                     SLICE_ARGS(options->certificate));
        return ERR_SYNTAX;
    }
    return ERR_NONE;
}

static enum err load_certificate(struct own *own, struct slice path, struct buffer *fault)
{
    struct tls_pem pem;
    struct buffer complaints;
    size_t count;
    enum err err = tls_pem_open(&pem, path, fault);
    if (err != ERR_NONE) {
        return err;
    }
    buffer_init(&complaints, 65536);
    err = tls_pem_certificates(&pem, &own->certificate, &count, &complaints);
    if (err == ERR_NONE && buffer_failed(&complaints)) {
        err = ERR_MEMORY;
    } else if (err == ERR_NONE && buffer_length(&complaints) > 0) {
        /* To serve a chain with a gap would fail at others' machines, where nobody sees why. */
        struct slice first, all = buffer_slice(&complaints);
        (void)slice_cut(&all, '\n', &first);
        buffer_add(fault, first);
        err = ERR_SYNTAX;
    } else if (err == ERR_NONE && count == 0) {
        buffer_print(fault, "%.*s: no certificate found", SLICE_ARGS(path));
        err = ERR_SYNTAX;
    }
    buffer_free(&complaints);
    tls_pem_close(&pem);
    return err;
}

static enum err load_key(struct own *own, struct slice path, struct buffer *fault)
{
    struct tls_pem pem;
    enum err err = tls_pem_open(&pem, path, fault);
    if (err != ERR_NONE) {
        return err;
    }
    err = tls_pem_key(&pem, &own->key, fault);
    tls_pem_close(&pem);
    return err;
}

static enum err configure(struct tls_context *context, const struct tls_context_options *options, struct buffer *fault)
{
    struct tls_material material = {
        .minimum = options->minimum,
        .has_old_suites = options->has_old_suites,
        .anchors = context->anchors->count > 0 ? &context->anchors->certificates : NULL,
        .certificate = context->own == NULL ? NULL : &context->own->certificate,
        .key = context->own == NULL ? NULL : &context->own->key,
    };
    for (size_t i = 0; i < CLIENT_COUNT; i++) {
        struct tls_client_kind kind = kind_at(i);
        if (kind.maximum < options->minimum) {
            continue; /* a server that insists on less is never talked to */
        }
        enum err err = tls_config_client(&context->clients[i], &material, &kind);
        if (err != ERR_NONE) {
            return err;
        }
    }
    if (!start_memory(context)) {
        buffer_add(fault, SLICE("the random generator failed"));
        return ERR_IO;
    }
    return context->own != NULL ? tls_config_server(&context->server, &material) : ERR_NONE;
}

static bool start_memory(struct tls_context *context)
{
    uint64_t key[2];
    if (psa_generate_random((uint8_t *)key, sizeof key) != PSA_SUCCESS) {
        return false;
    }
    tls_hosts_init(&context->pss_hosts, key);
    return true;
}
