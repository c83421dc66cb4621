/* A TLS context: trust anchors, our own certificate, limits. Reference-counted, and immutable after it was made (but
 * for a memory of servers' quirks), so that a reload makes a new one while sessions go on with theirs, on any number of
 * threads. The trust store is parsed once per context (6-13 ms), never per connection. Call tls_start() once per
 * process before the first context, after any fork and privilege change. */
#ifndef TLS_CONTEXT_H
#define TLS_CONTEXT_H

#include "base/err.h"
#include "base/buffer.h"

struct tls_context;

MUST_CHECK enum err tls_start(void);
void tls_stop(void);

enum tls_version { TLS_1_2, TLS_1_3 };

struct tls_context_options {
    struct slice ca_file;     /* PEM bundle; empty: the first of the system's known places that exists */
    struct slice certificate; /* PEM file, ours for servers; empty: this context serves no clients */
    struct slice key;         /* PEM file */
    enum tls_version minimum;
    bool has_old_suites; /* for clients: not only authenticated encryption */
    /* What they have, instead of the files; NULL: the files. */
    const struct tls_context *anchors_of, *own_of;
};
/* On error fault says what and where in a sentence ("/etc/x.pem: no certificate found"). warnings: sentences, one a
 * line (certificates of the bundle that could not be read: they are skipped, not fatal). ERR_NOT_FOUND, ERR_SYNTAX,
 * ERR_PERMISSION, ERR_LIMIT, ERR_IO, ERR_MEMORY (fault may be empty then). No usable anchor at all is an error when
 * ca_file was named, else a warning: then nothing can be verified, and what needs verification waits. */
MUST_CHECK enum err tls_context_new(const struct tls_context_options *options, struct tls_context **context,
                                    struct buffer *fault, struct buffer *warnings);
struct tls_context *tls_context_share(struct tls_context *context); /* one more reference */
void tls_context_free(struct tls_context **context);                /* one less */

/* The file that anchors come from: ca_file, or else the system's; empty when there is none. */
struct slice tls_context_bundle(struct slice ca_file);

size_t tls_context_anchor_count(const struct tls_context *context);
bool tls_context_serves(const struct tls_context *context); /* has our certificate */
/* Changes with the trust store's content: what was verified under another generation is not verified now. */
uint64_t tls_context_generation(const struct tls_context *context);

#endif
