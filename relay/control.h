/* The control socket: commands of the administrator to the running relay, as JSON lines. The submit socket: the same for everybody on
 * the machine, with the few commands that sendmail and mailq need, and of the queue only one's own mail; also for root, since it is the
 * one that containers are given. He is sent on to the control socket ("may-go-on" in the request, "control" in the answer). One request
 * a connection: {"command":"queue list","to":"example.com",...}; answers are one JSON object a line, the last one {"done":true,"exit":N}, with
 * "error" where something was wrong. The commands are those of the command line that need the relay (interface). */
#ifndef RELAY_CONTROL_H
#define RELAY_CONTROL_H

#include "base/buffer.h"
#include "base/err.h"

struct relay;
struct control;

struct control *control_new(struct relay *relay);
void control_free(struct control **control);
/* Owner and group only (0660). */
MUST_CHECK enum err control_open(struct control *control, struct buffer *fault);
/* For everybody (0666): to hand in mail, and to see one's own. */
MUST_CHECK enum err control_open_submit(struct control *control, struct buffer *fault);
void control_close(struct control *control);
bool control_is_idle(const struct control *control);

#endif
