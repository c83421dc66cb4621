#include "test/sim/sim_seen.h"

enum where { BOTH, WORLD, CROWD, RARE };
static const struct {
    enum where where;
    const char *text;
} rows[] = {
#define X(name, where, text) {where, text},
    SIM_SEEN_LIST(X)
#undef X
};
static uint64_t counts[SIM_SEEN_MAX];

static const char *const scenes[] = {
#define X(name, weight, weight_in_siege) #name,
    SIM_SCENE_LIST(X)
#undef X
};
static const char *const stages[] = {
#define X(name) #name,
    STAGE_LIST(X)
#undef X
};
static const char *const oddities[] = {
#define X(name) #name,
    ODDITY_LIST(X)
#undef X
};

void sim_saw(size_t what)
{
    counts[what]++;
}

uint64_t sim_seen_count(size_t what)
{
    return counts[what];
}

static bool is_expected(size_t what)
{
    if (world.crowd != WORLD_CROWD_NONE)
        return what == SIM_SEEN_POLICY_AGAIN || what == SIM_SEEN_ENFORCED ||
               (what < SIM_SEEN_FAULTS && rows[what].where == CROWD);
    if (what >= SIM_SEEN_STAGES)
        return !world.is_attacked;
    if (what >= SIM_SEEN_SCENES)
        return sim_story_makes((enum scene_kind)(what - SIM_SEEN_SCENES));
    if (what >= SIM_SEEN_FAULTS)
        return world_makes_fault((enum world_fault_kind)(what - SIM_SEEN_FAULTS));
    return rows[what].where == BOTH || (rows[what].where == WORLD && !world.is_attacked);
}

static void print_class(struct buffer *out, size_t what)
{
    if (what >= SIM_SEEN_ODDITIES)
        buffer_print(out, "oddity %s", oddities[what - SIM_SEEN_ODDITIES]);
    else if (what >= SIM_SEEN_STAGES)
        buffer_print(out, "an oddity at %s", stages[what - SIM_SEEN_STAGES]);
    else if (what >= SIM_SEEN_SCENES)
        buffer_print(out, "scene %s", scenes[what - SIM_SEEN_SCENES]);
    else if (what >= SIM_SEEN_FAULTS)
        buffer_print(out, "fault: %s ...", world_fault_text((enum world_fault_kind)(what - SIM_SEEN_FAULTS)));
    else
        buffer_print(out, "%s", rows[what].text);
}

bool sim_seen_all(struct buffer *out)
{
    bool has_all = true;
    for (size_t i = 0; i < SIM_SEEN_MAX; i++) {
        if (counts[i] > 0 || !is_expected(i))
            continue;
        has_all = false;
        buffer_print(out, "never met: ");
        print_class(out, i);
        buffer_print(out, "\n");
    }
    return has_all;
}

void sim_seen_print(struct buffer *out)
{
    for (size_t i = 0; i < SIM_SEEN_MAX; i++) {
        buffer_print(out, "%10llu ", (unsigned long long)counts[i]);
        print_class(out, i);
        buffer_print(out, "%s\n", is_expected(i) ? "" : " (not expected here)");
    }
}
