#include "relay/drop_wait.h"

#include <string.h>

static struct drop_wait *find(const struct drop_waits *waits, const struct drop_name *name)
{
    for (size_t i = 0; waits->count > 0 && i < DROP_WAITS_MAX; i++) {
        if (strcmp(waits->items[i].name.text, name->text) == 0)
            return (struct drop_wait *)(uintptr_t)&waits->items[i];
    }
    return NULL;
}

/* A free place, or that of the file whose turn comes first anyway. */
static struct drop_wait *find_place(struct drop_waits *waits)
{
    struct drop_wait *best = &waits->items[0];
    for (size_t i = 0; i < DROP_WAITS_MAX; i++) {
        struct drop_wait *wait = &waits->items[i];
        if (wait->name.text[0] == '\0') {
            waits->count++;
            return wait;
        }
        if (wait->until_ms < best->until_ms)
            best = wait;
    }
    return best;
}

int64_t drop_wait_add(struct drop_waits *waits, const struct drop_name *name, int64_t now_ms)
{
    struct drop_wait *wait = find(waits, name);
    if (wait == NULL) {
        wait = find_place(waits);
        *wait = (struct drop_wait){.name = *name};
    }
    int64_t wait_ms = wait->tries < 10 ? (int64_t)DROP_WAIT_FIRST_MS << wait->tries : DROP_WAIT_MAX_MS;
    wait_ms = wait_ms < DROP_WAIT_MAX_MS ? wait_ms : DROP_WAIT_MAX_MS;
    wait->tries++;
    wait->until_ms = now_ms + wait_ms;
    return wait_ms;
}

bool drop_wait_has(const struct drop_waits *waits, const struct drop_name *name, int64_t now_ms)
{
    const struct drop_wait *wait = find(waits, name);
    return wait != NULL && wait->until_ms > now_ms;
}

void drop_wait_remove(struct drop_waits *waits, const struct drop_name *name)
{
    struct drop_wait *wait = find(waits, name);
    if (wait == NULL)
        return;
    *wait = (struct drop_wait){.tries = 0};
    waits->count--;
}
