/* The contract of the queue, kept by LMDB in a directory on disk. */
#include "test/unit/contract_queue.h"
#include "test/unit/folder.h"

static struct folder folder;

static void make(void)
{
    folder_make(&folder);
}

static struct slice path(void)
{
    return slice_of(folder_path(&folder, "queue"));
}

static bool damage(struct slice marker)
{
    return folder_damage(folder_path(&folder, "queue/data.mdb"), marker);
}

static void remove_store(void)
{
    folder_remove(&folder);
}

int main(void)
{
    const struct contract_store store = {.make = make, .path = path, .damage = damage, .remove = remove_store};
    return contract_queue_run(&store);
}
