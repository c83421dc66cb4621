/* The network: streams and listeners of host.h over links that delay, cut and lose what is written. A link is one TCP
 * connection; its first end connected, its second accepted. The world's own peers use the same stream_*() calls as the
 * relay does. */
#ifndef TEST_SIM_SIM_NET_H
#define TEST_SIM_SIM_NET_H

#include "base/buffer.h"
#include "base/list.h"
#include "relay/host.h"
#include "test/sim/sim_event.h"
#include "test/sim/sim_memory.h"

struct sim_link;

enum sim_end_state {
    SIM_END_WAITING, /* not connected, or not accepted yet */
    SIM_END_OPEN,
    SIM_END_LEFT,    /* closed by its owner; what was written still leaves, then the end is said */
    SIM_END_DEAD,
};
struct sim_end {
    struct sim_link *link;
    struct stream *owner; /* NULL: nobody is told */
    enum sim_party party;
    struct endpoint address;
    enum sim_end_state state;
    struct buffer out, in; /* written and not left; arrived and not read */
    bool is_reading, owes_drained, has_ended;
    uint64_t written;      /* bytes ever */
    bool fin_seen;         /* the other side has ended; told once in is read */
    enum err broken;       /* the connection is gone; told on reading or writing */
    bool wrote_broken;
    struct sim_event flow, notice;
};
struct sim_link {
    struct list_node node;
    uint64_t number;
    struct sim_end ends[2];
    int64_t latency_ms;
    size_t cut_max;
    bool is_silent;  /* nothing moves any more and nobody is told */
    bool is_inbound; /* the relay accepted it */
    bool is_over;    /* freed once the present event is */
    int64_t accepted_ms; /* where it is inbound */
    uint64_t given;  /* bytes that the relay was given */
    void *wire;      /* the watcher's */
};

/* What the world says to a connection that no listener of the relay takes. */
enum sim_net_answer { SIM_NET_ACCEPTED, SIM_NET_REFUSED, SIM_NET_UNREACHABLE, SIM_NET_SILENT };
struct sim_net_world {
    /* ACCEPTED: somebody took the second end by sim_net_take(). */
    enum sim_net_answer (*incoming)(struct sim_link *link);
    /* Of links that have the relay at one end. */
    void (*written)(struct sim_link *link, struct slice bytes); /* by the relay */
    void (*given)(struct sim_link *link);                       /* the relay has read: link->given grew */
    void (*closed)(struct sim_link *link);                      /* the relay's end is gone */
};

void sim_net_start(const struct sim_net_world *world);
void sim_net_end(void);
void sim_net_reap(void);  /* between events: frees the links that are over */
void sim_net_crash(void); /* the relay's process ended: the kernel sends some of what it still has */
void sim_net_take(struct sim_link *link, struct stream *stream);
/* The end is gone at once; the other side hears of it. */
void sim_net_kill(struct sim_end *end);
struct sim_link *sim_net_link(const struct stream *stream);
/* From now on nothing of this stream's link moves. */
void sim_net_silence(struct stream *stream);
size_t sim_net_count(uint16_t port); /* links that the relay holds open to this port */
int64_t sim_net_oldest_ms(void);      /* since the relay accepted the oldest connection that it has not closed; 0: none */
size_t sim_net_relay_count(void);    /* streams and listeners of the relay */
uint64_t sim_net_written(const struct stream *stream); /* bytes ever written by this end */

#endif
