#include "relay/signers.h"

#include <stdlib.h>

#define ARENA_MAX (4u << 20)
#define BITS_ADVISED 2048

struct signers {
    struct arena *arena;
    struct signer *items;
    size_t count;
};

static enum err load_one(struct signers *signers, const struct config_dkim *dkim, struct buffer *fault, struct buffer *warnings);

enum err signers_load(const struct config *config, struct signers **out, struct buffer *fault, struct buffer *warnings)
{
    *out = NULL;
    if (config->dkim_count == 0)
        return ERR_NONE;
    struct signers *signers = calloc(1, sizeof *signers);
    if (signers == NULL)
        return ERR_MEMORY;
    signers->arena = arena_new(ARENA_MAX);
    if (signers->arena != NULL)
        signers->items = arena_array(signers->arena, config->dkim_count, sizeof *signers->items);
    enum err err = signers->items == NULL ? ERR_MEMORY : ERR_NONE;
    for (size_t i = 0; i < config->dkim_count && err == ERR_NONE; i++)
        err = load_one(signers, &config->dkims[i], fault, warnings);
    if (err == ERR_NONE)
        *out = signers;
    else
        signers_free(&signers);
    return err;
}

static enum err load_one(struct signers *signers, const struct config_dkim *dkim, struct buffer *fault, struct buffer *warnings)
{
    struct signer *signer = &signers->items[signers->count];
    struct buffer reason;
    if (!arena_slice(signers->arena, dkim->domain, &signer->domain) ||
        !arena_slice(signers->arena, dkim->selector, &signer->selector))
        return ERR_MEMORY;
    buffer_init(&reason, 8192);
    enum err err = tls_sign_key_open(dkim->key_file, &signer->key, &reason);
    if (err != ERR_NONE) {
        buffer_print(fault, "[dkim \"%.*s\"] key: %.*s", SLICE_ARGS(dkim->domain), SLICE_ARGS(buffer_slice(&reason)));
    } else {
        signers->count++;
        if (tls_sign_key_bits(signer->key) < BITS_ADVISED)
            buffer_print(warnings, "[dkim \"%.*s\"] key: it has only %zu bits; make one of 2048 with `sternpost dkim keygen`\n",
                         SLICE_ARGS(dkim->domain), tls_sign_key_bits(signer->key));
    }
    buffer_free(&reason);
    return err;
}

void signers_free(struct signers **signers)
{
    if (*signers == NULL)
        return;
    for (size_t i = 0; i < (*signers)->count; i++)
        tls_sign_key_free(&(*signers)->items[i].key);
    arena_free(&(*signers)->arena);
    free(*signers);
    *signers = NULL;
}

const struct signer *signers_find(const struct signers *signers, struct slice domain)
{
    for (size_t i = 0; signers != NULL && i < signers->count; i++) {
        if (slice_equal_nocase(signers->items[i].domain, domain))
            return &signers->items[i];
    }
    return NULL;
}
