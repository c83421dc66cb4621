/* Sorted tables of bytes, cheap to copy: what the simulator's queue keeps its records in. For queue_memory*.c only. */
#ifndef TEST_SIM_QUEUE_MEMORY_TABLE_H
#define TEST_SIM_QUEUE_MEMORY_TABLE_H

#include "base/err.h"
#include "base/slice.h"

struct memory_record {
    unsigned references; /* of the tables that hold it; never changed while there is more than one */
    struct slice key, value;
    char bytes[];
};
struct memory_table {
    struct memory_record **records; /* by key */
    size_t count, capacity;
};

MUST_CHECK enum err memory_table_copy(const struct memory_table *from, struct memory_table *to);
void memory_table_free(struct memory_table *table);
/* The index of the first record at or behind key. */
size_t memory_table_seek(const struct memory_table *table, struct slice key);
struct memory_record *memory_table_get(const struct memory_table *table, struct slice key); /* NULL: none */
MUST_CHECK enum err memory_table_put(struct memory_table *table, struct slice key, struct slice value);
bool memory_table_remove(struct memory_table *table, struct slice key); /* false: was not there */
void memory_table_remove_at(struct memory_table *table, size_t index);
uint64_t memory_table_bytes(const struct memory_table *table);

#endif
