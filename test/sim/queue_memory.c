#include "test/sim/queue_memory_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct queue_memory_disk *mounted;

static struct memory_directory *directory_find(const struct queue_memory_disk *disk, struct slice path);
static struct memory_directory *directory_make(struct queue_memory_disk *disk, struct slice path);
static void directory_free(struct memory_directory *directory);
static enum err open_on(struct queue_memory_disk *disk, const struct queue_options *options,
                        struct memory_directory **directory, struct buffer *fault);
static enum err commit(struct queue *queue, struct memory_state *next, bool is_new_mail);
static bool has_new_mail(const struct queue_change *const *changes, size_t count);
static bool has_room(const struct queue_memory_disk *disk, const struct memory_state *next, bool is_new_mail);
static struct queue_memory_fault next_fault(struct queue_memory_disk *disk);
static bool damage(struct memory_table *table, size_t index, size_t offset);

/* ---- the disk ---- */

struct queue_memory_disk *queue_memory_disk_new(void)
{
    struct queue_memory_disk *disk = calloc(1, sizeof *disk);
    if (disk != NULL) {
        disk->capacity = UINT64_MAX;
    }
    return disk;
}

struct queue_memory_disk *queue_memory_disk_copy(const struct queue_memory_disk *disk)
{
    struct queue_memory_disk *copy = queue_memory_disk_new();
    for (const struct memory_directory *from = disk->directories; copy != NULL && from != NULL; from = from->next) {
        struct memory_directory *to = directory_make(copy, slice_of(from->path));
        if (to == NULL || memory_state_copy(&from->state, &to->state) != ERR_NONE) {
            queue_memory_disk_free(&copy);
        }
    }
    return copy;
}

void queue_memory_disk_free(struct queue_memory_disk **disk)
{
    if (*disk == NULL) {
        return;
    }
    assert((*disk)->queues == NULL);
    while ((*disk)->directories != NULL) {
        struct memory_directory *directory = (*disk)->directories;
        (*disk)->directories = directory->next;
        directory_free(directory);
    }
    if (mounted == *disk) {
        mounted = NULL;
    }
    free(*disk);
    *disk = NULL;
}

void queue_memory_mount(struct queue_memory_disk *disk)
{
    mounted = disk;
}

void queue_memory_fail_commit(struct queue_memory_disk *disk, struct queue_memory_fault fault)
{
    assert(fault.nth == 0 || fault.err != ERR_NONE);
    disk->fault = fault;
}

void queue_memory_set_room(struct queue_memory_disk *disk, enum queue_memory_room room)
{
    disk->room = room;
}

void queue_memory_set_capacity(struct queue_memory_disk *disk, uint64_t bytes)
{
    disk->capacity = bytes;
}

void queue_memory_crash(struct queue_memory_disk *disk)
{
    for (struct queue *queue = disk->queues; queue != NULL; queue = queue->next) {
        queue->is_dead = true;
        if (queue->directory->holder == queue) {
            queue->directory->holder = NULL;
        }
    }
}

uint64_t queue_memory_commit_count(const struct queue_memory_disk *disk)
{
    return disk->commit_count;
}

bool queue_memory_damage(struct queue_memory_disk *disk, struct slice marker)
{
    for (struct memory_directory *directory = disk->directories; directory != NULL; directory = directory->next) {
        for (size_t i = 0; i < MEMORY_TABLE_COUNT; i++) {
            struct memory_table *table = &directory->state.tables[i];
            for (size_t index = 0; index < table->count; index++) {
                struct slice value = table->records[index]->value;
                size_t offset = slice_find_slice(value, marker);
                if (value.length > 0 && offset < value.length) {
                    return damage(table, index, offset);
                }
            }
        }
    }
    return false;
}

/* In a copy: the record may be on another disk too. */
static bool damage(struct memory_table *table, size_t index, size_t offset)
{
    struct slice value = table->records[index]->value;
    char *bytes = malloc(value.length);
    if (bytes == NULL) {
        return false;
    }
    memcpy(bytes, value.data, value.length);
    bytes[offset] = (char)(bytes[offset] ^ 0x20);
    struct slice key = table->records[index]->key;
    enum err err = memory_table_put(table, key, slice_make(bytes, value.length));
    free(bytes);
    return err == ERR_NONE;
}

void queue_memory_lose(struct queue_memory_disk *disk, enum queue_change_kind kind)
{
    disk->loses = true;
    disk->lost_kind = kind;
}

uint64_t queue_memory_policy_changes(const struct queue *queue)
{
    return queue->directory->state.policy_changes;
}

bool queue_memory_is_broken(const struct queue *queue)
{
    return queue->is_broken;
}

/* ---- queue.h: opening and applying ---- */

enum err queue_open(const struct queue_options *options, struct queue **queue, struct buffer *fault)
{
    *queue = NULL;
    struct memory_directory *directory;
    enum err err = open_on(mounted, options, &directory, fault);
    if (err != ERR_NONE) {
        return err;
    }
    struct queue *opened = calloc(1, sizeof *opened);
    if (opened == NULL) {
        return ERR_MEMORY;
    }
    opened->directory = directory;
    opened->disk = mounted;
    opened->options = *options;
    opened->next = mounted->queues;
    mounted->queues = opened;
    if (!options->read_only) {
        directory->holder = opened;
        memory_state_sweep(&directory->state);
    }
    *queue = opened;
    return ERR_NONE;
}

void queue_close(struct queue **queue)
{
    if (*queue == NULL) {
        return;
    }
    if ((*queue)->directory->holder == *queue) {
        (*queue)->directory->holder = NULL;
    }
    struct queue **link = &(*queue)->disk->queues;
    while (*link != *queue) {
        link = &(*link)->next;
    }
    *link = (*queue)->next;
    free(*queue);
    *queue = NULL;
}

static enum err apply_kept(const struct queue *queue, struct memory_state *next, const struct queue_change *const *changes,
                           size_t count)
{
    if (!queue->disk->loses) {
        return memory_state_apply(next, &queue->options, changes, count);
    }
    enum err err = ERR_NONE;
    for (size_t i = 0; err == ERR_NONE && i < count; i++) {
        if (changes[i]->kind != queue->disk->lost_kind) {
            err = memory_state_apply(next, &queue->options, &changes[i], 1);
        }
    }
    return err;
}

enum err queue_apply(struct queue *queue, const struct queue_change *const *changes, size_t count)
{
    assert(!queue->options.read_only);
    assert(!queue->is_dead);
    if (queue->is_broken) {
        return ERR_IO;
    }
    struct memory_state next;
    enum err err = memory_state_copy(&queue->directory->state, &next);
    if (err == ERR_NONE) {
        err = apply_kept(queue, &next, changes, count);
    }
    if (err == ERR_NONE) {
        err = commit(queue, &next, has_new_mail(changes, count));
    }
    memory_state_free(&next);
    queue->is_broken = err == ERR_IO;
    return err;
}

enum err queue_space(struct queue *queue, struct queue_space *space)
{
    assert(!queue->is_dead);
    uint64_t used = memory_state_bytes(&queue->directory->state);
    uint64_t free_bytes = used < queue->disk->capacity ? queue->disk->capacity - used : 0;
    *space = (struct queue_space){
        .map_size = queue->options.map_size,
        .map_used = used,
        .disk_free = queue->disk->room == QUEUE_MEMORY_ROOMY ? free_bytes : 0,
    };
    return ERR_NONE;
}

const char *queue_unsafe_place(struct queue *queue)
{
    (void)queue;
    return NULL;
}

/* ---- parts ---- */

static enum err open_on(struct queue_memory_disk *disk, const struct queue_options *options,
                        struct memory_directory **directory, struct buffer *fault)
{
    if (disk == NULL || options->path.length == 0) {
        buffer_print(fault, "the queue %.*s cannot be created: no such disk", SLICE_ARGS(options->path));
        return ERR_NOT_FOUND;
    }
    *directory = directory_find(disk, options->path);
    if (*directory == NULL && options->read_only) {
        buffer_print(fault, "the queue %.*s is not there", SLICE_ARGS(options->path));
        return ERR_NOT_FOUND;
    }
    if (*directory == NULL) {
        *directory = directory_make(disk, options->path);
    }
    if (*directory == NULL) {
        return ERR_MEMORY;
    }
    if ((*directory)->holder != NULL && !options->read_only) {
        buffer_print(fault, "the queue %.*s is in use by another relay (pid 1)", SLICE_ARGS(options->path));
        return ERR_IN_USE;
    }
    return ERR_NONE;
}

/* Swaps the states, so that what is freed is the old one, or the one that failed. */
static enum err commit(struct queue *queue, struct memory_state *next, bool is_new_mail)
{
    struct queue_memory_fault fault = next_fault(queue->disk);
    if (fault.err == ERR_NONE && !has_room(queue->disk, next, is_new_mail)) {
        fault.err = ERR_FULL;
    }
    if (fault.err != ERR_NONE && !fault.is_stored) {
        return fault.err;
    }
    struct memory_state old = queue->directory->state;
    queue->directory->state = *next;
    *next = old;
    queue->disk->commit_count++;
    return fault.err;
}

static struct queue_memory_fault next_fault(struct queue_memory_disk *disk)
{
    struct queue_memory_fault none = {0};
    if (disk->fault.nth == 0 || --disk->fault.nth > 0) {
        return none;
    }
    return disk->fault;
}

static bool has_room(const struct queue_memory_disk *disk, const struct memory_state *next, bool is_new_mail)
{
    if (disk->room == QUEUE_MEMORY_EXHAUSTED) {
        return false;
    }
    return !is_new_mail || (disk->room == QUEUE_MEMORY_ROOMY &&
                            (disk->capacity == UINT64_MAX || memory_state_bytes(next) <= disk->capacity));
}

static bool has_new_mail(const struct queue_change *const *changes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool is_mail = changes[i]->kind == QUEUE_CHANGE_CHUNK || changes[i]->kind == QUEUE_CHANGE_ACCEPT;
        if (is_mail && !changes[i]->is_report) {
            return true;
        }
    }
    return false;
}

static struct memory_directory *directory_find(const struct queue_memory_disk *disk, struct slice path)
{
    struct memory_directory *directory = disk->directories;
    while (directory != NULL && !slice_equal(slice_of(directory->path), path)) {
        directory = directory->next;
    }
    return directory;
}

static struct memory_directory *directory_make(struct queue_memory_disk *disk, struct slice path)
{
    struct memory_directory *directory = calloc(1, sizeof *directory);
    if (directory == NULL) {
        return NULL;
    }
    directory->path = strndup(path.data, path.length);
    if (directory->path == NULL) {
        free(directory);
        return NULL;
    }
    directory->next = disk->directories;
    disk->directories = directory;
    return directory;
}

static void directory_free(struct memory_directory *directory)
{
    memory_state_free(&directory->state);
    free(directory->path);
    free(directory);
}
