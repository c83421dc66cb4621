/* What the tests of the configuration share: files of their own in a folder of their own, loaded. */
#ifndef TEST_UNIT_CONFIGURED_H
#define TEST_UNIT_CONFIGURED_H

#include "base/clock.h"
#include "relay/config_internal.h"
#include "test/unit/check.h"

#include <cmocka.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int64_t clock_wall_ms(void)
{
    return 0; /* of the log line, which nothing here prints */
}

static char directory[] = "/tmp/sternpost-config-XXXXXX";

static inline struct slice write_file(const char *name, const char *text, mode_t mode)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
    return slice_of(path);
}

struct loaded {
    struct config *config;
    struct buffer faults, warnings;
    enum err err;
};

static inline void load(struct loaded *loaded, const struct config_source *source)
{
    buffer_init(&loaded->faults, 1u << 20);
    buffer_init(&loaded->warnings, 1u << 20);
    loaded->err = config_load(source, &loaded->config, &loaded->faults, &loaded->warnings);
}

static inline void unload(struct loaded *loaded)
{
    config_free(&loaded->config);
    buffer_free(&loaded->faults);
    buffer_free(&loaded->warnings);
}

static inline void load_text(struct loaded *loaded, const char *text)
{
    struct config_source source = {.file = write_file("main.conf", text, 0640)};
    load(loaded, &source);
}

static inline int set_up(void **state)
{
    (void)state;
    return mkdtemp(directory) == NULL ? -1 : 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    const char *const names[] = {"main.conf", "secret.conf", "password", "empty.conf"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        unlink(path);
    }
    return rmdir(directory);
}

#endif
