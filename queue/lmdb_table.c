#include "queue/lmdb_internal.h"
#include "base/text.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define CHECK_LENGTH 4

static bool is_dead(struct queue *queue);
static enum err of_code(const struct queue *queue, int code);
static enum err put(struct lmdb_view *view, MDB_dbi table, const struct lmdb_key *key, MDB_val *value, unsigned flags);
static enum err put_checked(struct lmdb_view *view, enum lmdb_table table, const struct lmdb_key *key,
                            struct slice value, unsigned flags);
static enum err move(struct lmdb_cursor *cursor, const struct lmdb_key *key, MDB_cursor_op operation);
static MDB_val val_of_key(const struct lmdb_key *key);
static struct slice slice_of_val(MDB_val value);

/* ---- transactions ---- */

enum err lmdb_view_read(struct queue *queue, struct lmdb_view *view)
{
    *view = (struct lmdb_view){.queue = queue};
    return of_code(queue, mdb_txn_begin(queue->env, NULL, MDB_RDONLY, &view->txn));
}

enum err lmdb_view_write(struct queue *queue, struct lmdb_view *view)
{
    *view = (struct lmdb_view){.queue = queue};
    return of_code(queue, mdb_txn_begin(queue->env, NULL, 0, &view->txn));
}

enum err lmdb_view_commit(struct lmdb_view *view)
{
    MDB_txn *txn = view->txn;
    view->txn = NULL;
    enum err err = of_code(view->queue, mdb_txn_commit(txn));
    return err != ERR_NONE && is_dead(view->queue) ? ERR_IO : err;
}

/* Where the page that ends a transaction could not be written the library trusts its file no more, and does not even read:
 * whatever the reason was, also want of space, only a new start helps. */
static bool is_dead(struct queue *queue)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(queue->env, NULL, MDB_RDONLY, &txn);
    if (code == MDB_SUCCESS) {
        mdb_txn_abort(txn);
    }
    return code == MDB_PANIC;
}

void lmdb_view_end(struct lmdb_view *view)
{
    if (view->txn != NULL) {
        mdb_txn_abort(view->txn);
        view->txn = NULL;
    }
}

/* Counted by tables and not by the end of the file, which never moves back. */
enum err lmdb_view_used(struct lmdb_view *view, uint64_t *bytes)
{
    enum { LIST_OF_FREE_PAGES = 0, LIST_OF_TABLES = 1, META_PAGES = 2 };
    MDB_dbi tables[LMDB_TABLE_COUNT + 2];
    memcpy(tables, view->queue->tables, sizeof view->queue->tables);
    tables[LMDB_TABLE_COUNT] = LIST_OF_FREE_PAGES;
    tables[LMDB_TABLE_COUNT + 1] = LIST_OF_TABLES;

    MDB_stat stat = {0};
    uint64_t pages = META_PAGES;
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        enum err err = of_code(view->queue, mdb_stat(view->txn, tables[i], &stat));
        if (err != ERR_NONE) {
            return err;
        }
        pages += stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
    }
    *bytes = pages * stat.ms_psize;
    return ERR_NONE;
}

uint64_t lmdb_view_free(struct lmdb_view *view, uint64_t used)
{
    MDB_envinfo info;
    MDB_stat stat;
    if (mdb_env_info(view->queue->env, &info) != MDB_SUCCESS || mdb_env_stat(view->queue->env, &stat) != MDB_SUCCESS) {
        return 0;
    }
    uint64_t size = (info.me_last_pgno + 1) * (uint64_t)stat.ms_psize;
    return size > used ? size - used : 0;
}

enum err lmdb_view_count(struct lmdb_view *view, enum lmdb_table table, uint64_t *count)
{
    MDB_stat stat;
    enum err err = of_code(view->queue, mdb_stat(view->txn, view->queue->tables[table], &stat));
    *count = err == ERR_NONE ? stat.ms_entries : 0;
    return err;
}

/* ---- values ---- */

enum err lmdb_get(struct lmdb_view *view, enum lmdb_table table, const struct lmdb_key *key, struct slice *value)
{
    MDB_val at = val_of_key(key), found = {0};
    int code = mdb_get(view->txn, view->queue->tables[table], &at, &found);
    *value = slice_of_val(found);
    return of_code(view->queue, code);
}

enum err lmdb_put(struct lmdb_view *view, enum lmdb_table table, const struct lmdb_key *key, struct slice value)
{
    MDB_val val = {.mv_size = value.length, .mv_data = (void *)(uintptr_t)value.data};
    return put(view, view->queue->tables[table], key, &val, 0);
}

enum err lmdb_add(struct lmdb_view *view, enum lmdb_table table, const struct lmdb_key *key, struct slice value)
{
    MDB_val val = {.mv_size = value.length, .mv_data = (void *)(uintptr_t)value.data};
    return put(view, view->queue->tables[table], key, &val, MDB_NOOVERWRITE);
}

enum err lmdb_delete(struct lmdb_view *view, enum lmdb_table table, const struct lmdb_key *key)
{
    MDB_val at = val_of_key(key);
    return of_code(view->queue, mdb_del(view->txn, view->queue->tables[table], &at, NULL));
}

enum err lmdb_get_checked(struct lmdb_view *view, enum lmdb_table table, const struct lmdb_key *key,
                          struct slice *value)
{
    enum err err = lmdb_get(view, table, key, value);
    if (err != ERR_NONE) {
        return err;
    }
    return lmdb_unwrap(*value, value) ? ERR_NONE : ERR_CORRUPT;
}

enum err lmdb_put_checked(struct lmdb_view *view, enum lmdb_table table, const struct lmdb_key *key, struct slice value)
{
    return put_checked(view, table, key, value, 0);
}

enum err lmdb_add_checked(struct lmdb_view *view, enum lmdb_table table, const struct lmdb_key *key, struct slice value)
{
    return put_checked(view, table, key, value, MDB_NOOVERWRITE);
}

bool lmdb_unwrap(struct slice stored, struct slice *value)
{
    if (stored.length < CHECK_LENGTH) {
        return false;
    }
    *value = slice_to(stored, stored.length - CHECK_LENGTH);
    struct reader check = reader_of(slice_from(stored, value->length));
    return reader_u32(&check) == text_crc32c(*value);
}

/* Written straight into the page: content is copied once. */
static enum err put_checked(struct lmdb_view *view, enum lmdb_table table, const struct lmdb_key *key,
                            struct slice value, unsigned flags)
{
    MDB_val val = {.mv_size = value.length + CHECK_LENGTH};
    enum err err = put(view, view->queue->tables[table], key, &val, flags | MDB_RESERVE);
    if (err != ERR_NONE) {
        return err;
    }
    uint32_t check = text_crc32c(value);
    unsigned char *space = val.mv_data;
    if (value.length > 0) {
        memcpy(space, value.data, value.length);
    }
    for (size_t i = 0; i < CHECK_LENGTH; i++) {
        space[value.length + i] = (unsigned char)(check >> (8 * (CHECK_LENGTH - 1 - i)));
    }
    return ERR_NONE;
}

static enum err put(struct lmdb_view *view, MDB_dbi table, const struct lmdb_key *key, MDB_val *value, unsigned flags)
{
    MDB_val at = val_of_key(key);
    return of_code(view->queue, mdb_put(view->txn, table, &at, value, flags));
}

/* ---- cursors ---- */

enum err lmdb_cursor_open(struct lmdb_view *view, enum lmdb_table table, struct lmdb_cursor *cursor)
{
    *cursor = (struct lmdb_cursor){.queue = view->queue};
    return of_code(view->queue, mdb_cursor_open(view->txn, view->queue->tables[table], &cursor->cursor));
}

void lmdb_cursor_close(struct lmdb_cursor *cursor)
{
    if (cursor->cursor != NULL) {
        mdb_cursor_close(cursor->cursor);
        cursor->cursor = NULL;
    }
}

enum err lmdb_cursor_seek(struct lmdb_cursor *cursor, const struct lmdb_key *key)
{
    return key->length == 0 ? lmdb_cursor_first(cursor) : move(cursor, key, MDB_SET_RANGE);
}

enum err lmdb_cursor_behind(struct lmdb_cursor *cursor, const struct lmdb_key *key)
{
    enum err err = lmdb_cursor_seek(cursor, key);
    if (err == ERR_NONE && slice_equal(cursor->key, slice_make(key->bytes, key->length))) {
        return lmdb_cursor_next(cursor);
    }
    return err;
}

enum err lmdb_cursor_before(struct lmdb_cursor *cursor, const struct lmdb_key *key)
{
    enum err err = lmdb_cursor_seek(cursor, key);
    if (err == ERR_NOT_FOUND) {
        return lmdb_cursor_last(cursor);
    }
    return err == ERR_NONE ? lmdb_cursor_previous(cursor) : err;
}

enum err lmdb_cursor_first(struct lmdb_cursor *cursor)
{
    return move(cursor, NULL, MDB_FIRST);
}

enum err lmdb_cursor_last(struct lmdb_cursor *cursor)
{
    return move(cursor, NULL, MDB_LAST);
}

enum err lmdb_cursor_next(struct lmdb_cursor *cursor)
{
    return move(cursor, NULL, MDB_NEXT);
}

enum err lmdb_cursor_previous(struct lmdb_cursor *cursor)
{
    return move(cursor, NULL, MDB_PREV);
}

enum err lmdb_cursor_delete(struct lmdb_cursor *cursor)
{
    return of_code(cursor->queue, mdb_cursor_del(cursor->cursor, 0));
}

enum err lmdb_first(struct lmdb_view *view, enum lmdb_table table, const struct lmdb_key *prefix, struct slice *key)
{
    struct lmdb_cursor cursor;
    enum err err = lmdb_cursor_open(view, table, &cursor);
    if (err != ERR_NONE) {
        return err;
    }
    err = lmdb_cursor_seek(&cursor, prefix);
    *key = cursor.key;
    lmdb_cursor_close(&cursor);
    if (err == ERR_NONE && !lmdb_key_begins(*key, prefix)) {
        return ERR_NOT_FOUND;
    }
    return err;
}

static enum err move(struct lmdb_cursor *cursor, const struct lmdb_key *key, MDB_cursor_op operation)
{
    MDB_val at = {0}, found = {0};
    if (key != NULL) {
        at = val_of_key(key);
    }
    int code = mdb_cursor_get(cursor->cursor, &at, &found, operation);
    cursor->key = code == MDB_SUCCESS ? slice_of_val(at) : SLICE_EMPTY;
    cursor->value = code == MDB_SUCCESS ? slice_of_val(found) : SLICE_EMPTY;
    return of_code(cursor->queue, code);
}

/* ---- translation ---- */

static MDB_val val_of_key(const struct lmdb_key *key)
{
    return (MDB_val){.mv_size = key->length, .mv_data = (void *)(uintptr_t)key->bytes};
}

static struct slice slice_of_val(MDB_val value)
{
    return value.mv_size == 0 ? SLICE_EMPTY : slice_make(value.mv_data, value.mv_size);
}

/* LMDB reports a short write, which is how a disk fills up, as EIO. */
static enum err of_code(const struct queue *queue, int code)
{
    switch (code) {
        case MDB_SUCCESS:
            return ERR_NONE;
        case MDB_NOTFOUND:
            return ERR_NOT_FOUND;
        case MDB_KEYEXIST:
            return ERR_EXISTS;
        case MDB_MAP_FULL:
        case MDB_TXN_FULL:
        case EFBIG:
            return ERR_FULL;
        case MDB_READERS_FULL:
            return ERR_LIMIT;
        case MDB_CORRUPTED:
        case MDB_PAGE_NOTFOUND:
        case MDB_INVALID:
        case MDB_VERSION_MISMATCH:
            return ERR_CORRUPT;
        case EIO:
            return lmdb_disk_is_full(queue) ? ERR_FULL : ERR_IO;
        default:
            return code > 0 ? err_from_errno(code) : ERR_IO;
    }
}
