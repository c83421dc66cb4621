/* Intake: the SMTP listeners and their sessions. Each session joins a channel, an smtp_server and a draft; who may relay is decided
 * here, on the address actually seen and on AUTH, never on what a client says of itself. */
#ifndef RELAY_INTAKE_H
#define RELAY_INTAKE_H

#include "base/buffer.h"
#include "base/err.h"
#include "relay/config.h"

struct relay;
struct intake;

struct intake *intake_new(struct relay *relay);
void intake_free(struct intake **intake);
/* Opens every listener of the configuration. fds: sockets handed over by the service manager, in order, with their names. On error
 * the fault says which address and what to do ("127.0.0.1:25: permission denied; listen on port 2525 or use socket activation").
 * ERR_IN_USE, ERR_PERMISSION, ERR_NOT_FOUND (no such fd name), ERR_SYNTAX (a socket handed over makes an open relay). */
struct intake_fds {
    const struct slice *names;
    const int *fds;
    size_t count;
};
MUST_CHECK enum err intake_open(struct intake *intake, const struct intake_fds *fds, struct buffer *fault);
/* Opens what a new configuration adds and closes what it drops; sessions go on. On error nothing is closed. */
MUST_CHECK enum err intake_reload(struct intake *intake, struct buffer *fault);
/* No new connections; sessions get 421 at their next command, content that is under way is finished. */
void intake_stop(struct intake *intake);
void intake_abort(struct intake *intake); /* ends every session; replies that were given still leave */
void intake_drop(struct intake *intake);  /* the time is over: who is still sending hears 421 */
bool intake_is_idle(const struct intake *intake);
size_t intake_session_count(const struct intake *intake);
/* So much memory is there for the content that all clients send at once: more of them hear 452. Returns how many have room. */
size_t intake_set_memory(struct intake *intake, uint64_t bytes);
/* A session over a stream that somebody else accepted (sendmail -bs over the submit socket). */
struct channel;

/* Would this configuration make an open relay? ERR_PERMISSION and a sentence: an address off loopback is listened at without
 * TLS + AUTH and without an explicit list of networks, or a list has /0. */
MUST_CHECK enum err intake_check(const struct config *config, struct buffer *fault);

#endif
