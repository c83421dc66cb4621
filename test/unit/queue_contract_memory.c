/* The contract of the queue, kept by the simulator's. */
#include "test/unit/contract_queue.h"
#include "test/sim/queue_memory.h"

#include <assert.h>

static struct queue_memory_disk *disk;

static void make(void)
{
    disk = queue_memory_disk_new();
    assert(disk != NULL);
    queue_memory_mount(disk);
}

static struct slice path(void)
{
    return SLICE("/var/spool/sternpost");
}

static bool damage(struct slice marker)
{
    return queue_memory_damage(disk, marker);
}

static void remove_store(void)
{
    queue_memory_disk_free(&disk);
}

int main(void)
{
    const struct contract_store store = {.make = make, .path = path, .damage = damage, .remove = remove_store};
    return contract_queue_run(&store);
}
