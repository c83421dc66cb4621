/* The inside of a delivery, shared by its files: delivery.c (its life: work taken, decided, recorded), delivery_find.c
 * (policy, hosts, addresses), delivery_again.c (names once more), delivery_dead.c (which of them), delivery_reuse.c (how long a connection is good for), delivery_talk.c (connection, TLS, SMTP), delivery_send.c (a transaction) and delivery_content.c (the form in
 * which the content leaves). */
#ifndef RELAY_DELIVERY_INTERNAL_H
#define RELAY_DELIVERY_INTERNAL_H

#include "relay/channel.h"
#include "relay/config.h"
#include "relay/delivery.h"
#include "relay/finder.h"
#include "relay/record.h"
#include "relay/relay.h"
#include "relay/route.h"
#include "relay/why.h"
#include "smtp/client.h"
#include "smtp/convert.h"

#define DELIVERY_STATE_LIST(X)                                                                                         \
    X(FINDING_POLICY) X(AWAITING_PLACE) X(AWAITING_NAMES) X(FINDING_HOSTS) X(CHOOSING_HOST) X(FINDING_ADDRESSES)       \
    X(CONNECTING) X(TALKING) X(IDLE) X(FINISHED)
enum delivery_state {
#define X(name) DELIVERY_##name,
    DELIVERY_STATE_LIST(X)
#undef X
};

/* What a connection for the present work must prove. Two works may share a connection only when all of this is equal. */
struct demand {
    struct slice route_pattern;   /* of [route]; empty: by MX */
    struct slice smart_host;      /* empty: by MX */
    uint16_t port;
    enum config_tls tls;          /* OPPORTUNISTIC, ENCRYPT, VERIFY or IMPLICIT (verified, from the first byte) */
    bool by_policy;               /* an enforced policy raised it to VERIFY */
    bool has_policy;              /* policy holds, in any mode */
    struct sts_policy policy;
    struct slice policy_id;
    struct slice username, password;
    uint64_t reload_count;        /* relay.reload_count, and the trust anchors in force, when it was made */
    uint64_t trust_generation;
};

struct delivery {
    struct relay *relay;
    struct destination *destination;
    struct list_node node, idle_node;
    struct place place; /* lent while it waits for a policy */
    enum delivery_state state;
    bool is_stopping;
    bool is_through; /* the open connection has carried a transaction, and the destination counts it */
    size_t turn_count; /* entries taken in this turn */
    struct hop *hop;   /* where it has a place; NULL: by MX */

    /* The present work: one entry. */
    bool has_work;
    struct arena *arena;
    struct queue_pick pick;
    struct queue_message message;
    struct queue_entry entry;
    struct why why;
    struct trouble_facts worst;    /* the most telling trouble of the hosts so far: decides for those whom no host answered */
    struct trouble_facts told;     /* the most telling answer to a recipient */
    bool any_policy;               /* a trouble so far is one that another policy might cure */
    bool is_renewing, has_renewed; /* looking for a new policy because a host failed the present one */
    unsigned overtaken_count;      /* times that a policy became known while this work was on its way to a host */
    bool has_retried_fresh;        /* a reused connection had gone stale or was spent: one more try does not count */
    uint32_t spent_count;          /* so many messages had a connection carried that was spent; 0: none was */
    size_t sent[QUEUE_RECIPIENTS_MAX]; /* recipients of the transaction: their index in the entry */
    size_t sent_count;
    bool decided[QUEUE_RECIPIENTS_MAX]; /* of the entry's recipients: has an outcome of this attempt */
    uint32_t chunk_next;
    bool host_has_dsn; /* the host of this transaction reports deliveries itself, where that is asked for */
    struct smtp_convert *convert; /* what the content of this transaction goes through; NULL: it leaves as it is */
    bool is_sending_content;
    bool would_defer_said;
    int64_t asking_ms;                 /* monotonic: since when names are asked for */
    unsigned asked_again;              /* so often after a failure of the resolver */
    int64_t upstream_wait_ms;          /* the route of this work is paused for so long; 0: it is not */

    /* Where to: valid as long as the connection. */
    struct arena *route_arena;
    struct demand demand;
    struct route route;
    size_t host_index;
    struct ip address_items[ROUTE_ADDRESSES_MAX];
    struct route_addresses addresses;
    size_t address_index;
    bool addresses_failed;         /* one of the lookups failed for the time being */
    struct slice addresses_detail;
    struct finder_request finding;
    struct resolve mx, a, aaaa;
    bool a_pending, aaaa_pending;
    struct timer timer;

    /* The connection. */
    struct channel channel;
    struct smtp_client *client;
    enum smtp_client_stage timed_stage;
    int64_t owed_ms;               /* monotonic: since when the peer owes its next word */
    int64_t connected_ms, transaction_ms; /* monotonic */
    size_t transaction_count;
    uint32_t carried_count;        /* of them: MAIL was accepted */
    bool is_authenticated;
    unsigned tried_count;          /* addresses connected to in this attempt */
    int64_t trying_ms;             /* monotonic: since when */
    struct {
        bool secured, verified;
        char version[16];
    } tls;                         /* of the present or the last connection of this work, for the log */
    bool has_retried_tls;          /* this host got its second handshake, which avoids what made the first one fail */
    bool without_tls;              /* this address again, after an opportunistic handshake failed */
    char tls_problem[200];         /* for which this was */
};

/* delivery.c */
void delivery_trouble(struct delivery *delivery, const struct trouble_facts *facts); /* notes it */
void delivery_conclude(struct delivery *delivery);      /* no host is left: the worst trouble decides */
void delivery_conclude_transaction(struct delivery *delivery); /* every recipient that was sent is decided */
void delivery_decide(struct delivery *delivery, size_t recipient, const struct trouble_facts *facts); /* no trouble: delivered */
struct slice delivery_host(const struct delivery *delivery);
struct slice delivery_address(const struct delivery *delivery, char out[48]);
bool delivery_next_work(struct delivery *delivery); /* takes the next entry; false: there is none */
void delivery_finish(struct delivery *delivery);     /* frees it */

/* delivery_find.c */
void delivery_find_policy(struct delivery *delivery);
bool delivery_renew_policy(struct delivery *delivery); /* false: there is no Policy Domain any more */
struct slice delivery_domain(const struct delivery *delivery); /* the Policy Domain; without one the destination's name */
void delivery_find_hosts(struct delivery *delivery);
void delivery_choose_host(struct delivery *delivery);
void delivery_find_addresses(struct delivery *delivery);
/* Whether a reload has left the route as it is under which this attempt began. */
bool delivery_same_route(const struct delivery *delivery);
/* Whether what is demanded is what the configuration in force demands for this message: route, TLS, credentials and trust anchors. After
 * any reload it counts as another: nothing is compared that could be forgotten here. */
bool delivery_same_demand(const struct delivery *delivery);
/* Is what the open connection proved still what must be proved? Another delivery may have learned of a policy since. */
bool delivery_policy_is_current(struct delivery *delivery);
/* Has a policy become known since the present work looked for one, which is not the one that this new connection proved? */
bool delivery_policy_is_overtaken(struct delivery *delivery);
void delivery_cancel_finding(struct delivery *delivery);

/* delivery_again.c */
bool delivery_asks_again(struct delivery *delivery); /* true: all begins again in a moment; false: it has been often enough */
bool delivery_lacks_names(const struct delivery *delivery); /* at the end: failed lookups are all that is wrong */

/* delivery_reuse.c */
bool delivery_may_reuse(const struct delivery *delivery);
bool delivery_is_spent(const struct delivery *delivery, const struct smtp_client_event *event); /* at DONE */
void delivery_begin_fresh(struct delivery *delivery, bool is_spent); /* the present work again, over a new connection */
void delivery_carried(struct delivery *delivery, const struct smtp_client_event *event); /* at DONE */

/* delivery_dead.c */
void delivery_try_address(struct delivery *delivery); /* from address_index on, the first not known to be dead; else the next host */
void delivery_host_is_dead(struct delivery *delivery, const struct trouble_facts *facts); /* for others to know */
void delivery_host_answers(struct delivery *delivery);

/* delivery_talk.c */
void delivery_connect(struct delivery *delivery);
void delivery_flush(struct delivery *delivery);
void delivery_set_deadline(struct delivery *delivery);
void delivery_await(struct delivery *delivery, int64_t wait_ms); /* the peer's next word, for so long */
int64_t delivery_patience_ms(const struct delivery *delivery, enum smtp_client_stage stage);
void delivery_on_timeout(struct timer *timer);
void delivery_note_tls(struct delivery *delivery); /* as long as it is connected */
bool delivery_demands_tls(const struct delivery *delivery);
void delivery_host_failed(struct delivery *delivery, struct trouble_facts *facts); /* notes it and goes on with the next */
void delivery_hang_up(struct delivery *delivery);  /* QUIT where it can be said; closes */
bool delivery_is_connected(const struct delivery *delivery);

/* delivery_upstream.c */
bool delivery_waits_for_upstream(struct delivery *delivery); /* true: the work is recorded, and the delivery has moved on */
bool delivery_is_upstream_refusal(const struct delivery *delivery, const struct smtp_reply *reply);
void delivery_upstream_refused(struct delivery *delivery, const struct trouble_facts *facts);
void delivery_upstream_accepted(struct delivery *delivery);

/* delivery_send.c */
bool delivery_send(struct delivery *delivery); /* the present work over the open connection; false: it has moved on */
bool delivery_send_content(struct delivery *delivery);
void delivery_complete_facts(struct delivery *delivery, struct trouble_facts *facts, char address[48]);
void delivery_decide_sent(struct delivery *delivery, size_t sent, const struct smtp_client_event *event);
void delivery_decide_rest(struct delivery *delivery, const struct smtp_client_event *event);

/* delivery_content.c */
#define DELIVERY_CONTENT_MAX (4u * QUEUE_CHUNK_MAX) /* bytes that one chunk can become: each byte three, and breaks */
bool delivery_needs_utf8(const struct delivery *delivery);
bool delivery_prepare_content(struct delivery *delivery, const struct smtp_extensions *extensions);
void delivery_describe_content(const struct delivery *delivery, struct smtp_mail *mail);
MUST_CHECK enum err delivery_read_content(struct delivery *delivery, uint32_t number, bool is_last, struct buffer *out);

#endif
