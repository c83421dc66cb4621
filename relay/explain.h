/* What would happen to mail for an address, step by step, without sending any: asks what a delivery asks (relay/delivery.h) and
 * tells each answer as an object with a "step". Where it is to connect, the SMTP session goes up to EHLO over TLS, never to MAIL.
 * Give it an address, start it, hear tell() for every step and done() once; neither is called inside explain_start(). */
#ifndef RELAY_EXPLAIN_H
#define RELAY_EXPLAIN_H

#include "base/json.h"
#include "relay/channel.h"
#include "relay/config.h"
#include "relay/explain_lookup.h"
#include "relay/finder.h"
#include "relay/route.h"
#include "relay/verdict.h"
#include "smtp/client.h"

struct relay;

#define EXPLAIN_STATE_LIST(X)                                                                                          \
    X(STARTING) X(FINDING_POLICY) X(FINDING_HOSTS) X(FINDING_ADDRESSES) X(CONNECTING) X(TALKING) X(FINISHED)
enum explain_state {
#define X(name) EXPLAIN_##name,
    EXPLAIN_STATE_LIST(X)
#undef X
};

struct explain {
    /* The owner's; the texts live as long as the explanation. */
    void (*tell)(struct explain *explain, struct json **step); /* takes the object over */
    void (*done)(struct explain *explain, bool would_go);      /* mail could be sent to one host at least */
    struct relay *relay; /* without a finder (no relay runs): its cache is read, and looked up afresh */
    struct slice address, sender;
    bool connects;

    enum explain_state state;
    struct arena *arena;
    struct timer timer;
    bool would_go;
    struct trouble_facts worst; /* of the hosts that would not take it */

    /* What is demanded of the hosts. */
    struct slice domain;        /* canonical, or a literal with its brackets */
    struct slice smart_host;    /* empty: by MX */
    uint16_t port;
    enum config_tls tls;        /* as configured, raised by an enforced policy */
    bool by_policy, has_policy;
    bool logs_in;               /* at the smart host */
    struct sts_policy policy;

    struct finder_request finding;
    struct explain_lookup lookup;
    struct resolve mx, a, aaaa;
    bool a_pending, aaaa_pending;
    struct route route;
    size_t host_index;
    struct ip address_items[ROUTE_ADDRESSES_MAX];
    struct route_addresses addresses;
    size_t address_index;
    unsigned tried_count;       /* addresses, until one would take it */
    bool addresses_failed;
    struct slice addresses_detail;
    bool has_retried_tls;       /* this host got its second handshake, as a delivery gives it */

    struct channel channel;
    struct smtp_client *client;
};
/* local@domain, or a bare local part, which is our own. */
bool explain_is_address(struct slice address);
/* False: out of memory, nothing was started. */
MUST_CHECK bool explain_start(struct explain *explain);
void explain_cancel(struct explain *explain); /* also after the end; no callback follows */

/* For its own files. */
struct slice explain_host(const struct explain *explain);
struct slice explain_domain(const struct explain *explain); /* the Policy Domain: the recipient's, or the smart host */
void explain_trouble(struct explain *explain, const struct trouble_facts *facts); /* notes it */
void explain_host_failed(struct explain *explain, const struct trouble_facts *facts); /* notes it, and goes on with the next host */
void explain_next_host(struct explain *explain); /* from host_index on */
void explain_find_addresses(struct explain *explain);
void explain_connect(struct explain *explain);
void explain_hang_up(struct explain *explain);
void explain_add_problem(struct json *step, const struct trouble_facts *facts);

#endif
