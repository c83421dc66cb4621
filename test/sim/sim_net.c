#include "test/sim/sim_net.h"

#include "test/sim/sim_dice.h"
#include "test/sim/sim_listener.h"

#include <assert.h>
#include <stdlib.h>

#define SIM_CONNECTIONS_MAX 100000
#define WINDOW ((size_t)65536)

static struct {
    struct sim_net_world world;
    struct list links;
    struct list over; /* links to be freed between events */
    uint64_t next_number;
} net;

static void *allocate(size_t size);
static struct sim_end *end_of(const struct stream *stream);
static struct sim_end *other(struct sim_end *end);
static struct sim_link *link_new(void);
static void link_free(struct sim_link *link);
static void settle(struct sim_link *link);
static void plan_flow(struct sim_end *end, int64_t delay_ms);
static void on_flow(struct sim_event *event);
static void on_gone(struct sim_event *event);
static void on_notice(struct sim_event *event);
static void on_connect(struct sim_event *event);
static void deliver(struct sim_end *end);
static void break_end(struct sim_end *end, enum err err);
static struct stream *part(struct sim_end *end);

void sim_net_start(const struct sim_net_world *world)
{
    net.world = *world;
    list_init(&net.links);
    sim_listeners_start();
    list_init(&net.over);
    net.next_number = 1;
}

void sim_net_end(void)
{
    struct list_node *node;
    while ((node = list_first(&net.links)) != NULL)
        link_free(LIST_OF(node, struct sim_link, node));
    sim_net_reap();
}

void sim_net_reap(void)
{
    struct list_node *node;
    while ((node = list_take_first(&net.over)) != NULL) {
        struct sim_link *link = LIST_OF(node, struct sim_link, node);
        list_add_last(&net.links, &link->node);
        link_free(link);
    }
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

static enum sim_party party_now(void)
{
    enum sim_party party = sim_party_enter(SIM_WORLD);
    sim_party_leave(party);
    return party;
}

static struct sim_end *end_of(const struct stream *stream)
{
    assert(stream->host != NULL);
    return stream->host;
}

static struct sim_end *other(struct sim_end *end)
{
    return end == &end->link->ends[0] ? &end->link->ends[1] : &end->link->ends[0];
}

/* ---- links ---- */

static struct sim_link *link_new(void)
{
    static const unsigned cuts[] = {70, 20, 8, 2, 0};
    static const size_t sizes[] = {65536, 1400, 80, 3};
    struct sim_link *link = allocate(sizeof *link);
    for (size_t i = 0; i < 2; i++) {
        link->ends[i].link = link;
        buffer_init(&link->ends[i].in, SIZE_MAX / 2);
        buffer_init(&link->ends[i].out, SIZE_MAX / 2);
    }
    link->number = net.next_number++;
    link->latency_ms = sim_dice_between(1, 40);
    link->cut_max = sizes[sim_dice_choose(cuts)];
    list_add_last(&net.links, &link->node);
    return link;
}

static void link_free(struct sim_link *link)
{
    for (size_t i = 0; i < 2; i++) {
        struct sim_end *end = &link->ends[i];
        sim_event_cancel(&end->flow);
        sim_event_cancel(&end->notice);
        if (end->owner != NULL)
            end->owner->host = NULL;
        buffer_free(&end->in);
        buffer_free(&end->out);
    }
    list_remove(&net.links, &link->node);
    free(link);
}

/* Nobody holds it and nothing moves: it is freed once the present event is over. */
static void settle(struct sim_link *link)
{
    if (link->is_over)
        return;
    for (size_t i = 0; i < 2; i++) {
        struct sim_end *end = &link->ends[i];
        if (end->state != SIM_END_DEAD || end->owner != NULL || sim_event_is_planned(&end->flow))
            return;
    }
    link->is_over = true;
    list_remove(&net.links, &link->node);
    list_add_last(&net.over, &link->node);
}

struct sim_link *sim_net_link(const struct stream *stream)
{
    return end_of(stream)->link;
}

void sim_net_silence(struct stream *stream)
{
    struct sim_link *link = end_of(stream)->link;
    link->is_silent = true;
    for (size_t i = 0; i < 2; i++)
        sim_event_cancel(&link->ends[i].flow);
}

uint64_t sim_net_written(const struct stream *stream)
{
    return end_of(stream)->written;
}

int64_t sim_net_oldest_ms(void)
{
    int64_t oldest_ms = 0;
    for (struct list_node *node = list_first(&net.links); node != NULL; node = list_next(&net.links, node)) {
        const struct sim_link *link = LIST_OF(node, struct sim_link, node);
        bool is_held = link->is_inbound && link->ends[1].owner != NULL && link->ends[1].state == SIM_END_OPEN;
        int64_t age_ms = is_held && link->accepted_ms > 0 ? sim_now_ms() - link->accepted_ms : 0;
        oldest_ms = age_ms > oldest_ms ? age_ms : oldest_ms;
    }
    return oldest_ms;
}

size_t sim_net_count(uint16_t port)
{
    size_t count = 0;
    for (struct list_node *node = list_first(&net.links); node != NULL; node = list_next(&net.links, node)) {
        const struct sim_end *end = &LIST_OF(node, struct sim_link, node)->ends[0];
        count += end->party == SIM_RELAY && end->owner != NULL && end->link->ends[1].address.port == port;
    }
    return count;
}

size_t sim_net_relay_count(void)
{
    size_t count = 0;
    for (struct list_node *node = list_first(&net.links); node != NULL; node = list_next(&net.links, node)) {
        for (size_t i = 0; i < 2; i++) {
            const struct sim_end *end = &LIST_OF(node, struct sim_link, node)->ends[i];
            count += end->party == SIM_RELAY && end->owner != NULL;
        }
    }
    return count + sim_listeners_relay_count();
}

/* The process is gone. What the kernel had taken of its words may still arrive; unread words of the peer make it say so
 * rudely. */
static void crash_end(struct sim_end *end)
{
    bool is_rude = buffer_length(&end->in) > 0;
    end->owner = NULL;
    end->party = SIM_WORLD;
    sim_event_cancel(&end->notice);
    if (end->state == SIM_END_WAITING || is_rude) {
        sim_net_kill(end);
        return;
    }
    buffer_truncate(&end->out, sim_dice_below(buffer_length(&end->out) + 1));
    if (end->state == SIM_END_OPEN) {
        end->state = SIM_END_LEFT;
        plan_flow(end, end->link->latency_ms);
    }
}

void sim_net_crash(void)
{
    struct list_node *node, *next;
    sim_listeners_crash();
    for (node = list_first(&net.links); node != NULL; node = next) {
        struct sim_link *link = LIST_OF(node, struct sim_link, node);
        next = list_next(&net.links, node);
        for (size_t i = 0; i < 2; i++) {
            if (link->ends[i].party != SIM_RELAY || link->ends[i].owner == NULL)
                continue;
            net.world.closed(link);
            crash_end(&link->ends[i]);
        }
        settle(link);
    }
}

/* ---- connecting ---- */

void stream_connect(struct stream *stream, const struct endpoint *peer, const struct endpoint *source)
{
    assert(stream->host == NULL);
    struct sim_link *link = link_new();
    struct sim_end *end = &link->ends[0];
    static const uint8_t anywhere[4] = {5, 5, 5, 5};
    end->owner = stream;
    end->party = party_now();
    end->address = source != NULL ? *source : (struct endpoint){.ip = ip_v4(anywhere), .port = 40000};
    link->ends[1].address = *peer;
    stream->host = end;
    sim_event_plan(&end->notice, link->latency_ms * 2, on_connect);
}

static enum sim_net_answer ask_world(struct sim_link *link)
{
    if (!sim_listener_offer(link))
        return net.world.incoming(link);
    link->is_inbound = link->ends[1].party == SIM_RELAY;
    return SIM_NET_ACCEPTED;
}

static void on_connect(struct sim_event *event)
{
    struct sim_end *end = LIST_OF(event, struct sim_end, notice);
    struct sim_link *link = end->link;
    enum sim_net_answer answer = ask_world(link);
    struct stream *stream = end->owner;
    if (answer == SIM_NET_SILENT) {
        link->is_silent = true;
        return;
    }
    enum err err = ERR_NONE;
    if (answer == SIM_NET_ACCEPTED) {
        end->state = SIM_END_OPEN;
        if (buffer_length(&end->out) > 0)
            plan_flow(end, link->latency_ms);
    } else {
        err = answer == SIM_NET_REFUSED ? ERR_REFUSED : ERR_UNREACHABLE;
        (void)part(end);
        end->state = link->ends[1].state = SIM_END_DEAD;
        settle(link);
    }
    enum sim_party before = sim_party_enter(end->party);
    stream->connected(stream, err);
    sim_party_leave(before);
}

void sim_net_take(struct sim_link *link, struct stream *stream)
{
    struct sim_end *end = &link->ends[1];
    assert(end->state == SIM_END_WAITING);
    assert(stream->host == NULL);
    end->owner = stream;
    end->party = party_now();
    end->state = SIM_END_OPEN;
    link->accepted_ms = sim_now_ms();
    stream->host = end;
    if (buffer_length(&end->in) > 0 || end->fin_seen || end->broken != ERR_NONE)
        sim_event_plan(&end->notice, 0, on_notice);
}

/* ---- what the owner asks for ---- */

void stream_read(struct stream *stream, bool on)
{
    struct sim_end *end = end_of(stream);
    bool was = end->is_reading;
    end->is_reading = on;
    if (!on || was || end->state != SIM_END_OPEN || end->link->is_silent)
        return;
    if (buffer_length(&end->in) > 0 || end->fin_seen || end->broken != ERR_NONE)
        sim_event_plan(&end->notice, 0, on_notice);
}

void stream_write(struct stream *stream, struct slice bytes)
{
    struct sim_end *end = end_of(stream);
    enum sim_party before = sim_party_enter(SIM_WORLD);
    if (before == SIM_RELAY && net.world.written != NULL)
        net.world.written(end->link, bytes);
    end->owes_drained = true;
    end->written += bytes.length;
    end->wrote_broken = end->broken != ERR_NONE;
    if (end->broken == ERR_NONE)
        buffer_add(&end->out, bytes);
    if (end->broken != ERR_NONE || buffer_length(&end->out) == 0) {
        if (end->state == SIM_END_OPEN)
            sim_event_plan(&end->notice, 0, on_notice);
    } else if (end->state == SIM_END_OPEN) {
        plan_flow(end, end->link->latency_ms);
    }
    sim_party_leave(before);
}

/* Here nobody waits for it. */
void stream_acknowledge(struct stream *stream)
{
    (void)stream;
}

size_t host_connection_max(void)
{
    return SIM_CONNECTIONS_MAX;
}

size_t stream_pending(const struct stream *stream)
{
    const struct sim_end *end = stream->host;
    return end == NULL ? 0 : buffer_length(&end->out);
}

/* The owner is told nothing any more. */
static struct stream *part(struct sim_end *end)
{
    struct stream *stream = end->owner;
    if (end->party == SIM_RELAY && net.world.closed != NULL)
        net.world.closed(end->link);
    end->owner = NULL;
    stream->host = NULL;
    sim_event_cancel(&end->notice);
    return stream;
}

void stream_close(struct stream *stream)
{
    struct sim_end *end = stream->host;
    if (end == NULL)
        return;
    struct sim_link *link = end->link;
    (void)part(end);
    if (end->state == SIM_END_WAITING || end->broken != ERR_NONE || link->is_silent) {
        sim_net_kill(end);
        return;
    }
    end->state = SIM_END_LEFT;
    buffer_clear(&end->in);
    plan_flow(end, link->latency_ms);
    plan_flow(other(end), 0); /* what waited for room is thrown away now */
}

void stream_abort(struct stream *stream)
{
    struct sim_end *end = stream->host;
    if (end == NULL)
        return;
    (void)part(end);
    sim_net_kill(end);
}

/* The other side hears of it, unless the link is silent. */
void sim_net_kill(struct sim_end *end)
{
    struct sim_end *to = other(end);
    end->state = SIM_END_DEAD;
    buffer_clear(&end->out);
    buffer_clear(&end->in);
    sim_event_cancel(&end->flow);
    if (to->owner == NULL && to->state != SIM_END_WAITING)
        to->state = SIM_END_DEAD;
    if (to->state == SIM_END_WAITING && end == &end->link->ends[0] && to->party == SIM_WORLD)
        to->state = SIM_END_DEAD; /* nobody has been asked yet */
    else if (to->state != SIM_END_DEAD && !end->link->is_silent)
        sim_event_plan(&end->flow, end->link->latency_ms, on_gone);
    settle(end->link);
}

bool stream_is_open(const struct stream *stream)
{
    const struct sim_end *end = stream->host;
    return end != NULL && !(end->broken != ERR_NONE && end->has_ended);
}

struct endpoint stream_peer(const struct stream *stream)
{
    return other(end_of(stream))->address;
}

struct endpoint stream_local(const struct stream *stream)
{
    return end_of(stream)->address;
}

bool stream_peer_uid(const struct stream *stream, uint32_t *uid, uint32_t *gid)
{
    *uid = *gid = 0;
    return end_of(stream)->address.path[0] != '\0';
}

bool stream_peer_in_group(const struct stream *stream, uint32_t gid)
{
    (void)gid;
    return end_of(stream)->address.path[0] != '\0';
}

void stream_own_user(uint32_t *uid, uint32_t *gid)
{
    *uid = *gid = 0;
}

/* ---- what moves ---- */

static void plan_flow(struct sim_end *end, int64_t delay_ms)
{
    bool has_something = buffer_length(&end->out) > 0 || end->state == SIM_END_LEFT;
    if (has_something && !end->link->is_silent && !sim_event_is_planned(&end->flow))
        sim_event_plan(&end->flow, delay_ms, on_flow);
}

static void on_gone(struct sim_event *event)
{
    struct sim_end *end = LIST_OF(event, struct sim_end, flow);
    struct sim_end *to = other(end);
    if (sim_dice_percent(70)) {
        break_end(to, ERR_RESET);
    } else {
        to->fin_seen = true;
        if (to->state == SIM_END_OPEN)
            sim_event_plan(&to->notice, 0, on_notice);
    }
    settle(end->link);
}

/* Some of what was written arrives. */
static void move(struct sim_end *end, struct sim_end *to)
{
    size_t room = to->state == SIM_END_LEFT ? SIZE_MAX : WINDOW - buffer_length(&to->in);
    size_t length = buffer_length(&end->out);
    size_t cut = 1 + sim_dice_below(end->link->cut_max);
    length = length < room ? length : room;
    length = length < cut ? length : cut;
    if (to->state != SIM_END_LEFT)
        buffer_add(&to->in, slice_to(buffer_slice(&end->out), length));
    buffer_consume(&end->out, length);
    deliver(to);
}

static void on_flow(struct sim_event *event)
{
    struct sim_end *end = LIST_OF(event, struct sim_end, flow);
    struct sim_end *to = other(end);
    if (to->state == SIM_END_DEAD) {
        break_end(end, ERR_RESET);
        settle(end->link);
        return;
    }
    move(end, to);
    bool has_room = to->state == SIM_END_LEFT || buffer_length(&to->in) < WINDOW;
    if (buffer_length(&end->out) > 0 && has_room) {
        plan_flow(end, sim_dice_between(0, 2));
    } else if (buffer_length(&end->out) == 0 && end->state == SIM_END_LEFT) {
        end->state = SIM_END_DEAD;
        to->fin_seen = true;
        deliver(to);
    } else if (buffer_length(&end->out) == 0 && end->owes_drained && end->state == SIM_END_OPEN) {
        sim_event_plan(&end->notice, 0, on_notice);
    }
    settle(end->link);
}

static void break_end(struct sim_end *end, enum err err)
{
    buffer_clear(&end->out);
    if (end->state == SIM_END_LEFT) {
        end->state = SIM_END_DEAD;
        sim_event_cancel(&end->flow);
        return;
    }
    end->broken = err;
    if (end->state == SIM_END_OPEN)
        sim_event_plan(&end->notice, 0, on_notice);
}

static void tell_end(struct sim_end *end, enum err err)
{
    end->has_ended = true;
    end->owner->ended(end->owner, err);
}

/* Gives the owner what it may have now: bytes, then the end. */
static void deliver(struct sim_end *end)
{
    bool is_told = end->owner != NULL && end->state == SIM_END_OPEN && !end->has_ended && !end->link->is_silent;
    if (!is_told)
        return;
    enum sim_party before = sim_party_enter(end->party);
    if (end->is_reading && buffer_length(&end->in) > 0) {
        struct buffer taken = end->in;
        buffer_init(&end->in, SIZE_MAX / 2);
        end->link->given += end->party == SIM_RELAY ? buffer_length(&taken) : 0;
        if (end->party == SIM_RELAY && net.world.given != NULL) {
            (void)sim_party_enter(SIM_WORLD);
            net.world.given(end->link);
            (void)sim_party_enter(end->party);
        }
        end->owner->received(end->owner, buffer_slice(&taken));
        buffer_free(&taken);
        plan_flow(other(end), 0);
    }
    bool is_empty = buffer_length(&end->in) == 0;
    if (end->owner != NULL && !end->has_ended) {
        if (end->broken != ERR_NONE && (end->is_reading || end->wrote_broken))
            tell_end(end, end->broken);
        else if (end->fin_seen && is_empty && end->is_reading)
            tell_end(end, ERR_END);
    }
    sim_party_leave(before);
}

static void on_notice(struct sim_event *event)
{
    struct sim_end *end = LIST_OF(event, struct sim_end, notice);
    deliver(end);
    if (end->owner != NULL && end->owes_drained && buffer_length(&end->out) == 0) {
        end->owes_drained = false;
        enum sim_party before = sim_party_enter(end->party);
        end->owner->drained(end->owner);
        sim_party_leave(before);
    }
    settle(end->link);
}
