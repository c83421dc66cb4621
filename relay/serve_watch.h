/* Looks every few seconds whether our certificate, its key, the trust anchors or the users file have changed, and takes them over. What cannot be
 * used leaves the old one in force and is told once; it is tried again until it can be. */
#ifndef RELAY_SERVE_WATCH_H
#define RELAY_SERVE_WATCH_H

#include "relay/host.h"
#include "relay/relay.h"

/* What of a file tells that it is another one, or has another content. */
struct serve_stamp {
    uint64_t device, inode, size;
    int64_t changed_ns;
};
struct serve_watched {
    struct serve_stamp stamps[2]; /* of the files that are in force */
    struct serve_stamp told[2];   /* of those whose fault was told */
    bool is_faulty;
};
struct serve_watch {
    struct relay *relay;
    struct timer timer;
    struct serve_watched tls, anchors, users;
    bool has_looked; /* whether they can be read, once privileges are given up */
};
/* The files of the relay's configuration have just been read. Also after a reload. */
void serve_watch_start(struct serve_watch *watch, struct relay *relay);
void serve_watch_stop(struct serve_watch *watch);

struct tls_context_options serve_tls_options(const struct config *config);

#endif
