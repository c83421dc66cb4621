#include "test/sim/sim_compose.h"

#include "base/text.h"
#include "test/sim/sim_dice.h"
#include "test/sim/sim_ledger.h"
#include "test/sim/world_crowd.h"

#include <stdint.h>

#define SMALL_MAX 1500
#define LARGE_MAX 200000

static void compose_sender(struct sim_message *message)
{
    static const unsigned weights[] = {80, 8, 8, 0};
    switch (sim_dice_choose(weights)) {
    case 0:
        text_print(message->sender, sizeof message->sender, "s%zu@%s", message->number, world.domains[0].name);
        break;
    case 1:
        text_print(message->sender, sizeof message->sender, "s%zu@nowhere.example", message->number);
        break;
    default:
        break; /* the null reverse-path */
    }
}

/* Mostly all in one or two domains. */
static void compose_recipients(struct sim_message *message)
{
    static const unsigned weights[] = {55, 20, 10, 10, 5, 0};
    static const size_t counts[] = {1, 2, 3, 5, SIM_RECIPIENTS_MAX};
    message->recipient_count = counts[sim_dice_choose(weights)];
    size_t domain = (size_t)sim_dice_below(world.domain_count);
    for (size_t i = 0; i < message->recipient_count; i++) {
        struct sim_recipient *recipient = &message->recipients[i];
        if (sim_dice_percent(30))
            domain = (size_t)sim_dice_below(world.domain_count);
        recipient->domain = domain;
        text_print(recipient->address, sizeof recipient->address, "m%zur%zu%s@%s", message->number, i,
                   sim_dice_percent(8) ? "no" : "", world.domains[domain].name);
    }
}

/* Lines with dots in front, empty ones, and long ones. */
static void compose_line(struct buffer *content)
{
    static const char *const starts[] = {".", "..", "", "", "From ", "-- ", ". ", "\t"};
    buffer_print(content, "%s", starts[sim_dice_below(8)]);
    size_t length = (size_t)(sim_dice_percent(5) ? sim_dice_below(900) : sim_dice_below(70));
    for (size_t i = 0; i < length; i++)
        buffer_add_byte(content, (char)('a' + (i * 7 + length) % 26));
    buffer_add(content, SLICE("\r\n"));
}

void sim_compose(struct sim_message *message)
{
    if (world.crowd != WORLD_CROWD_NONE) {
        world_crowd_compose(message);
    } else {
        compose_sender(message);
        compose_recipients(message);
    }
    size_t size = (size_t)sim_dice_between(0, sim_dice_percent(4) ? LARGE_MAX : SMALL_MAX);
    buffer_init(&message->content, LARGE_MAX * 2);
    /* Nothing is missing, so that nothing has to be added: what arrives is what was sent. */
    buffer_print(&message->content,
                 "From: <%s>\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\nMessage-ID: <%zu@client.example>\r\n"
                 "Subject: a simulated message\r\n\r\n",
                 message->sender[0] == '\0' ? "nobody@nowhere.example" : message->sender, message->number);
    while (buffer_length(&message->content) < size)
        compose_line(&message->content);
}
