#include "test/sim/sim_log.h"

#include "test/sim/sim_event.h"
#include "test/sim/sim_memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KEPT ((size_t)1 << 20)
#define LINE_MAX_BYTES 1024

static struct {
    bool is_aloud;
    uint64_t hash;
    size_t relay_count;
    char failure[LINE_MAX_BYTES];
    /* The last bytes, in a ring. */
    char ring[KEPT];
    size_t written;
} run;

static void add(struct slice text);
static void add_time(void);

void sim_log_start(bool aloud)
{
    run.is_aloud = aloud;
    run.hash = UINT64_C(0xcbf29ce484222325);
    run.relay_count = run.written = 0;
    run.failure[0] = '\0';
}

void sim_log(const char *format, ...)
{
    char text[LINE_MAX_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    add_time();
    add(slice_make(text, length < 0 ? 0 : (size_t)length < sizeof text ? (size_t)length : sizeof text - 1));
    add(SLICE("\n"));
}

void sim_log_relay(struct slice line)
{
    run.relay_count++;
    add_time();
    add(SLICE("  "));
    add(line);
}

uint64_t sim_log_hash(void)
{
    return run.hash;
}

size_t sim_log_relay_count(void)
{
    return run.relay_count;
}

void sim_fail(const char *format, ...)
{
    char text[LINE_MAX_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    sim_log("BROKEN: %s", text);
    if (run.failure[0] == '\0')
        memcpy(run.failure, text, sizeof text);
}

bool sim_failed(void)
{
    return run.failure[0] != '\0';
}

const char *sim_failure(void)
{
    return run.failure;
}

static void add_time(void)
{
    char text[48];
    int64_t now_ms = sim_now_ms();
    int length = snprintf(text, sizeof text, "%3lld:%02lld:%02lld.%03lld ", (long long)(now_ms / 3600000),
                          (long long)(now_ms / 60000 % 60), (long long)(now_ms / 1000 % 60), (long long)(now_ms % 1000));
    add(slice_make(text, (size_t)length));
}

static void add(struct slice text)
{
    for (size_t i = 0; i < text.length; i++)
        run.hash = (run.hash ^ (unsigned char)text.data[i]) * UINT64_C(0x100000001b3);
    for (struct slice rest = text; rest.length > 0;) {
        size_t place = run.written % KEPT;
        struct slice part = slice_to(rest, KEPT - place);
        memcpy(run.ring + place, part.data, part.length);
        run.written += part.length;
        rest = slice_from(rest, part.length);
    }
    if (run.is_aloud)
        fwrite(text.data, 1, text.length, stdout);
}

static void print(struct slice text)
{
    while (text.length > 0) {
        ssize_t written = write(STDOUT_FILENO, text.data, text.length);
        if (written <= 0)
            return;
        text = slice_from(text, (size_t)written);
    }
}

void sim_log_print_tail(size_t bytes)
{
    if (run.is_aloud)
        return;
    size_t length = run.written < KEPT ? run.written : KEPT;
    length = length < bytes ? length : bytes;
    size_t place = (run.written - length) % KEPT;
    struct slice older = slice_to(slice_make(run.ring + place, KEPT - place), length);
    struct slice newer = slice_make(run.ring, length - older.length);
    if (length < run.written)
        older = slice_from(older, slice_find(older, '\n') + 1);
    print(older);
    print(newer);
}
