#include "relay/serve_memory.h"

#include "base/text.h"
#include "relay/config_internal.h"
#include "relay/intake.h"
#include "relay/journal.h"
#include "relay/relay.h"

#include <stdio.h>
#include <string.h>

#define PATH_LENGTH_MAX 4096
#define FILE_MAX 65536
#define RECEIVING_SHARE 3 /* of what there is: the rest is for what goes out, the queue and the program */
#define PENDING_SHARE 16
#define UNLIMITED (UINT64_C(1) << 60) /* version 1 has the largest number of pages for none */

/* The path of the group in a line of the list: "0::/a/b" of version 2, "5:cpu,memory:/a/b" of version 1. Empty: the line is of others. */
static struct slice path_in(struct slice line, bool *is_first_version)
{
    struct slice number, controllers, each;
    if (!slice_cut(&line, ':', &number) || !slice_cut(&line, ':', &controllers))
        return SLICE_EMPTY;
    *is_first_version = controllers.length > 0;
    bool is_memory = !*is_first_version && slice_equal(number, SLICE("0"));
    while (controllers.length > 0 && slice_cut(&controllers, ',', &each))
        is_memory = is_memory || slice_equal(each, SLICE("memory"));
    return is_memory ? line : SLICE_EMPTY;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* The number in a file; "max", no file, or anything else is no limit. */
static uint64_t read_limit(const char *path)
{
    struct buffer text;
    bool may_be_read_by_all;
    uint64_t limit = 0;
    buffer_init(&text, 64);
    struct slice rest = config_slurp(path, &text, &may_be_read_by_all) == ERR_NONE ? buffer_slice(&text) : SLICE_EMPTY, word;
    bool is_number = slice_word(&rest, &word) && slice_number(word, UINT64_MAX, &limit);
    buffer_free(&text);
    return is_number && limit < UNLIMITED ? limit : 0;
}

/* From the group up to the root. Where a container sees only its own part of the tree, that part is the root. */
static uint64_t least_of(const char *root, const char *file, struct slice path)
{
    char name[PATH_LENGTH_MAX];
    uint64_t least = 0;
    for (;;) {
        int length = snprintf(name, sizeof name, "%s%.*s/%s", root, SLICE_ARGS(path), file);
        if (length > 0 && (size_t)length < sizeof name)
            least = smaller(least, read_limit(name));
        if (path.length == 0)
            return least;
        path = slice_to(path, slice_find_last(path, '/')); /* it begins with one */
    }
}

uint64_t serve_memory_limit(const char *groups, const char *root)
{
    struct buffer text;
    struct slice rest, line;
    char first_version[PATH_LENGTH_MAX];
    bool may_be_read_by_all;
    uint64_t least = 0;
    snprintf(first_version, sizeof first_version, "%s/memory", root);
    buffer_init(&text, FILE_MAX);
    rest = config_slurp(groups, &text, &may_be_read_by_all) == ERR_NONE ? buffer_slice(&text) : SLICE_EMPTY;
    while (rest.length > 0 && slice_cut(&rest, '\n', &line)) {
        bool is_first = false;
        struct slice path = path_in(line, &is_first);
        if (path.length == 0 || path.data[0] != '/')
            continue;
        least = smaller(least, is_first ? least_of(first_version, "memory.limit_in_bytes", path) : least_of(root, "memory.max", path));
    }
    buffer_free(&text);
    return least;
}

void serve_memory_apply(struct relay *relay)
{
    struct log_line line;
    uint64_t limit = serve_memory_limit("/proc/self/cgroup", "/sys/fs/cgroup");
    if (limit == 0)
        return;
    uint64_t pending = limit / PENDING_SHARE;
    size_t messages = intake_set_memory(relay->intake, limit / RECEIVING_SHARE);
    journal_set_pending_max(relay->journal, pending < JOURNAL_PENDING_MAX ? (size_t)pending : JOURNAL_PENDING_MAX);
    if (!log_open(&line, relay->log, LOG_INFO, "memory_limit"))
        return;
    log_number(&line, "bytes", (int64_t)limit);
    log_number(&line, "messages", (int64_t)messages);
    log_string(&line, "meaning", "so much memory the control group has, and the content of so many messages is received at once");
    log_close(&line);
}
