/* A delivery by a [route] whose upstream refuses our credentials: it waits with all others of that route. */
#include "relay/delivery_internal.h"

#include "relay/upstream.h"
#include "smtp/address.h"

#include <string.h>

static struct upstream_key key_of_demand(const struct delivery *delivery)
{
    const struct demand *demand = &delivery->demand;
    return (struct upstream_key){
        .host = demand->smart_host, .port = demand->port, .username = demand->username, .password = demand->password};
}

/* Nothing of the last work's way may show in this one's record. */
static void forget_way(struct delivery *delivery)
{
    delivery_hang_up(delivery);
    memset(&delivery->tls, 0, sizeof delivery->tls);
    arena_reset(delivery->route_arena);
    delivery->route = (struct route){0};
    delivery->addresses.count = 0;
    delivery->demand = (struct demand){.tls = delivery->relay->config->tls_default};
}

bool delivery_waits_for_upstream(struct delivery *delivery)
{
    const struct config_route *route =
        config_route_find(delivery->relay->config, delivery->destination->name, smtp_address_domain(delivery->message.sender));
    if (route == NULL)
        return false;
    struct upstream_key key = {
        .host = route->host, .port = route->port, .username = route->username, .password = route->password};
    struct upstream_pause pause = upstream_ask(delivery->relay, &key);
    if (pause.wait_ms == 0)
        return false;
    struct trouble_facts facts = {.trouble = TROUBLE_CREDENTIALS, .host = route->host, .stage = SMTP_STAGE_AUTH};
    if (!arena_print(delivery->arena, &facts.detail, "the route is paused since it said %.*s", SLICE_ARGS(pause.reason)))
        facts.detail = SLICE_EMPTY;
    forget_way(delivery);
    delivery->upstream_wait_ms = pause.wait_ms;
    delivery_trouble(delivery, &facts);
    delivery_conclude(delivery);
    return true;
}

/* RFC 4954 6: codes that speak of authentication, whatever they answer. Where no [route] sends us, they are the host's own business. */
bool delivery_is_upstream_refusal(const struct delivery *delivery, const struct smtp_reply *reply)
{
    return delivery->demand.smart_host.length > 0 &&
           (reply->code == 530 || reply->code == 534 || reply->code == 535 || reply->code == 538);
}

void delivery_upstream_refused(struct delivery *delivery, const struct trouble_facts *facts)
{
    struct upstream_key key = key_of_demand(delivery);
    struct buffer reason;
    char status[16];
    struct slice printed = smtp_status_print(facts->reply.status, status);
    buffer_init(&reason, 2048);
    if (facts->reply.code != 0)
        buffer_print(&reason, "%u %.*s%s%.*s", facts->reply.code, SLICE_ARGS(printed), printed.length > 0 ? " " : "",
                     SLICE_ARGS(slice_to(facts->reply.text, 1000)));
    else
        buffer_add(&reason, facts->detail);
    delivery->upstream_wait_ms = upstream_refused(delivery->relay, &key, buffer_slice(&reason));
    buffer_free(&reason);
}

void delivery_upstream_accepted(struct delivery *delivery)
{
    struct upstream_key key = key_of_demand(delivery);
    if (delivery->demand.smart_host.length > 0)
        upstream_accepted(delivery->relay, &key);
}
