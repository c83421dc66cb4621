/* The DKIM keys of the configuration, loaded. Immutable: a reload makes new ones, and whoever signs meanwhile shares the key. */
#ifndef RELAY_SIGNERS_H
#define RELAY_SIGNERS_H

#include "relay/config.h"
#include "tls/sign.h"

struct signers;
struct signer {
    struct slice domain, selector; /* live as long as the signers */
    struct tls_sign_key *key;
};

/* *signers: NULL when no [dkim] is configured. On error fault has a sentence that names section and file; a warning is a line. */
MUST_CHECK enum err signers_load(const struct config *config, struct signers **signers, struct buffer *fault,
                                 struct buffer *warnings);
void signers_free(struct signers **signers);
const struct signer *signers_find(const struct signers *signers, struct slice domain); /* canonical; NULL: none */

#endif
