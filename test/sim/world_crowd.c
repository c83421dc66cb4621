#include "test/sim/world_crowd.h"

#include "base/text.h"
#include "test/sim/sim_dice.h"
#include "test/sim/sim_event.h"

#define MINUTE_MS INT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)
#define CROWD_DOMAINS 280
#define VICTIMS 8
/* Messages: one to each of half the victims, so that their policies are learned. The others are first written to behind
 * the crowd, when their policies have to be fetched too. */
#define EARLY (VICTIMS / 2)
#define CROWD_MESSAGES (CROWD_DOMAINS / SIM_RECIPIENTS_MAX)
#define LATE 16                      /* messages to the victims, behind those to the crowd */
#define CROWD_MS (20 * MINUTE_MS)    /* when the crowd comes */
#define MAX_AGE_S 3600
#define STORM_MS (80 * MINUTE_MS)
/* A letter to a victim, whose hosts all answer at once, whatever the crowd's do. Where all of the crowd is mute nothing
 * else is to be done meanwhile, and a few seconds are enough, also for a first policy; the mail of a crowd that answers is
 * delivered, and has its turn. */
#define DELAY_MAX_MS MINUTE_MS
#define DELAY_MUTE_MAX_MS 5000

static const uint8_t mute_addresses[2][4] = {{20, 4, 0, 1}, {20, 4, 0, 2}};

void world_crowd_times(void)
{
    world.storm_ms = STORM_MS;
    world.message_count = EARLY + CROWD_MESSAGES + LATE;
    world.retry_schedule = "5m 30m 2h";
    world.expire_ms = STORM_MS + 24 * HOUR_MS;
    world.warn_ms = 0;
    world.trouble_percent = 0;
    world.connections_max = (unsigned)sim_dice_between(6, 20);
    world.per_destination = (unsigned)sim_dice_between(2, 4);
    world.cache_max = sim_dice_percent(50) ? 65536 : 64u << 20;
    world.crowd = (enum world_crowd)(1 + sim_dice_below(WORLD_CROWD_KINDS - 1));
}

static struct world_domain *add_domain(size_t host)
{
    struct world_domain *domain = &world.domains[world.domain_count];
    domain->index = world.domain_count++;
    domain->kind = WORLD_DOMAIN_MX;
    domain->mx[0].host = host;
    domain->mx[0].preference = 10;
    domain->mx_count = 1;
    domain->policy_ip = ip_v4((const uint8_t[4]){20, 1, (uint8_t)(domain->index >> 8), (uint8_t)domain->index});
    return domain;
}

static void publish(struct world_domain *domain, int64_t max_age_s)
{
    struct world_publication *publication = world_publish(domain, WORLD_ENFORCE, max_age_s);
    domain->served = domain->announced = publication == NULL ? -1 : 0;
}

/* The first is the senders'; then the victims, each with a host of its own, then the crowd, below one name. */
void world_crowd_domains(void)
{
    for (size_t i = 0; i <= VICTIMS; i++) {
        char name[WORLD_NAME_MAX];
        text_print(name, sizeof name, "mx.v%zu.example", i);
        struct world_domain *domain = add_domain(world_add_host(name));
        text_print(domain->name, sizeof domain->name, "v%zu.example", i);
        publish(domain, MAX_AGE_S);
    }
    size_t host = world_add_host("mx.crowd.example");
    for (size_t i = 0; i < CROWD_DOMAINS; i++) {
        struct world_domain *domain = add_domain(host);
        /* Half of them stand before the victims in the alphabet, where they are met first. */
        text_print(domain->name, sizeof domain->name, "%c%zu.crowd.example", i % 2 == 0 ? 'a' : 'x', i);
        domain->is_crowd = true;
        publish(domain, world.crowd == WORLD_CROWD_SILENCED ? MAX_AGE_S : 31557600);
    }
}

bool world_crowd_is_mute(const struct world_domain *domain)
{
    return domain->is_crowd && (world.crowd == WORLD_CROWD_MUTE ||
                                (world.crowd == WORLD_CROWD_SILENCED && sim_now_ms() > CROWD_MS + 10 * MINUTE_MS));
}

struct ip world_crowd_mute_address(size_t index)
{
    return ip_v4(mute_addresses[index % 2]);
}

bool world_crowd_is_mute_address(const struct ip *ip)
{
    struct ip first = world_crowd_mute_address(0), second = world_crowd_mute_address(1);
    return ip_equal(ip, &first) || ip_equal(ip, &second);
}

/* ---- who writes to whom, and when ---- */

int64_t world_crowd_start_ms(size_t number)
{
    if (number <= EARLY)
        return sim_dice_between(1000, 5 * MINUTE_MS);
    if (number <= EARLY + CROWD_MESSAGES)
        return CROWD_MS + sim_dice_between(0, 10000);
    if (sim_dice_percent(40))
        return CROWD_MS + sim_dice_between(5000, MINUTE_MS); /* while the crowd's hosts are not known to be mute yet */
    return CROWD_MS + sim_dice_between(5000, sim_dice_percent(70) ? 10 * MINUTE_MS : STORM_MS - CROWD_MS);
}

static const struct world_domain *recipient_of(size_t number, size_t index)
{
    if (number > EARLY && number <= EARLY + CROWD_MESSAGES)
        return &world.domains[1 + VICTIMS + (number - 1 - EARLY) * SIM_RECIPIENTS_MAX + index];
    return &world.domains[1 + (number - 1) % VICTIMS];
}

void world_crowd_compose(struct sim_message *message)
{
    bool is_to_crowd = message->number > EARLY && message->number <= EARLY + CROWD_MESSAGES;
    text_print(message->sender, sizeof message->sender, "s%zu@%s", message->number, world.domains[0].name);
    message->recipient_count = is_to_crowd ? SIM_RECIPIENTS_MAX : 1;
    for (size_t i = 0; i < message->recipient_count; i++) {
        struct sim_recipient *recipient = &message->recipients[i];
        const struct world_domain *domain = recipient_of(message->number, i);
        recipient->domain = domain->index;
        text_print(recipient->address, sizeof recipient->address, "m%zur%zu@%s", message->number, i, domain->name);
    }
}

bool world_crowd_is_late(const struct sim_recipient *recipient, int64_t promised_ms)
{
    int64_t most_ms = world.crowd == WORLD_CROWD_MUTE ? DELAY_MUTE_MAX_MS : DELAY_MAX_MS;
    return world.crowd != WORLD_CROWD_NONE && !world.domains[recipient->domain].is_crowd && promised_ms > 0 &&
           sim_now_ms() - promised_ms > most_ms;
}
