#include "test/sim/sim_listener.h"

#include <assert.h>
#include <stdlib.h>

struct sim_listener {
    struct list_node node;
    struct listener *owner;
    enum sim_party party;
    struct endpoint endpoint;
    struct list backlog; /* struct waiting */
    bool is_told;        /* the owner knows and has not resumed */
    struct sim_event event;
};
struct waiting {
    struct list_node node;
    struct sim_link *link;
};

static struct list listeners;

static void on_incoming(struct sim_event *event);
static struct sim_listener *find_listener(const struct endpoint *endpoint);

void sim_listeners_start(void)
{
    list_init(&listeners);
}

void sim_listeners_crash(void)
{
    struct list_node *node, *next;
    for (node = list_first(&listeners); node != NULL; node = next) {
        struct sim_listener *listener = LIST_OF(node, struct sim_listener, node);
        next = list_next(&listeners, node);
        if (listener->party == SIM_RELAY)
            listener_close(listener->owner);
    }
}

size_t sim_listeners_relay_count(void)
{
    size_t count = 0;
    for (struct list_node *node = list_first(&listeners); node != NULL; node = list_next(&listeners, node))
        count += LIST_OF(node, struct sim_listener, node)->party == SIM_RELAY;
    return count;
}

static void *allocate(size_t size)
{
    enum sim_party before = sim_party_enter(SIM_WORLD);
    void *memory = calloc(1, size);
    sim_party_leave(before);
    if (memory == NULL)
        abort();
    return memory;
}

static struct sim_listener *find_listener(const struct endpoint *endpoint)
{
    for (struct list_node *node = list_first(&listeners); node != NULL; node = list_next(&listeners, node)) {
        struct sim_listener *listener = LIST_OF(node, struct sim_listener, node);
        if (endpoint_equal(&listener->endpoint, endpoint))
            return listener;
    }
    return NULL;
}

enum err listener_open(struct listener *listener, const struct listener_options *options)
{
    assert(listener->host == NULL);
    if (find_listener(&options->endpoint) != NULL)
        return ERR_IN_USE;
    struct sim_listener *opened = allocate(sizeof *opened);
    opened->owner = listener;
    opened->party = sim_party_enter(SIM_WORLD);
    sim_party_leave(opened->party);
    opened->endpoint = options->endpoint;
    list_init(&opened->backlog);
    list_add_last(&listeners, &opened->node);
    listener->host = opened;
    return ERR_NONE;
}

static void on_incoming(struct sim_event *event)
{
    struct sim_listener *listener = LIST_OF(event, struct sim_listener, event);
    listener->is_told = true;
    enum sim_party before = sim_party_enter(listener->party);
    listener->owner->incoming(listener->owner);
    sim_party_leave(before);
}

bool sim_listener_offer(struct sim_link *link)
{
    struct sim_listener *listener = find_listener(&link->ends[1].address);
    if (listener == NULL)
        return false;
    struct waiting *waiting = allocate(sizeof *waiting);
    waiting->link = link;
    link->ends[1].party = listener->party;
    list_add_last(&listener->backlog, &waiting->node);
    if (!listener->is_told)
        sim_event_plan(&listener->event, 0, on_incoming);
    return true;
}

static struct sim_link *take_waiting(struct sim_listener *listener)
{
    struct list_node *node = list_take_first(&listener->backlog);
    if (node == NULL)
        return NULL;
    struct waiting *waiting = LIST_OF(node, struct waiting, node);
    struct sim_link *link = waiting->link;
    free(waiting);
    return link;
}

enum err stream_accept(struct listener *listener, struct stream *stream)
{
    struct sim_link *link = take_waiting(listener->host);
    if (link == NULL)
        return ERR_RESET;
    sim_net_take(link, stream);
    return ERR_NONE;
}

void listener_resume(struct listener *listener)
{
    struct sim_listener *opened = listener->host;
    opened->is_told = false;
    if (!list_is_empty(&opened->backlog))
        sim_event_plan(&opened->event, 0, on_incoming);
}

void listener_close(struct listener *listener)
{
    struct sim_listener *opened = listener->host;
    if (opened == NULL)
        return;
    struct sim_link *link;
    while ((link = take_waiting(opened)) != NULL)
        sim_net_kill(&link->ends[1]);
    sim_event_cancel(&opened->event);
    list_remove(&listeners, &opened->node);
    free(opened);
    listener->host = NULL;
}

struct endpoint listener_local(const struct listener *listener)
{
    return ((const struct sim_listener *)listener->host)->endpoint;
}
