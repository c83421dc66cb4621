/* Configurations of anything: a file, behind a NUL variables of the environment, behind another NUL the words of --set, a line each.
 * Either it is valid or its faults are told, one a line; what is in force is printed as a file that is valid again and says the same. */
#include <assert.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "relay/config.h"

#define LINES_MAX 64
#define TEXT_MAX ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The path of a file that is only in memory. */
static struct slice write_file(struct slice text, char path[64], int *fd)
{
    *fd = memfd_create("sternpost.conf", 0);
    assert(*fd >= 0 && fchmod(*fd, 0600) == 0);
    assert(write(*fd, text.data, text.length) == (ssize_t)text.length);
    return text_print(path, 64, "/proc/self/fd/%d", *fd);
}

/* Files of secrets are anything that this process may read. */
static bool is_harmless(struct slice line)
{
    size_t equals = slice_find(line, '=');
    return !slice_ends_nocase(slice_trim(slice_to(line, equals)), SLICE("file"));
}

static enum err load(struct slice text, const char *const *environment, const struct slice *sets, size_t set_count,
                     struct config **config, struct buffer *faults)
{
    char path[64];
    int fd;
    struct buffer warnings;
    buffer_init(&warnings, TEXT_MAX);
    struct config_source source = {.file = write_file(text, path, &fd), .environment = environment, .sets = sets, .set_count = set_count};
    enum err err = config_load(&source, config, faults, &warnings);
    close(fd);
    buffer_free(&warnings);
    return err;
}

/* Without the places, which are comments. */
static void add_settings(struct slice text, struct buffer *out)
{
    struct slice line;
    while (slice_cut(&text, '\n', &line)) {
        line = slice_trim(line);
        if (line.length > 0 && line.data[0] != '#')
            buffer_print(out, "%.*s\n", SLICE_ARGS(line));
    }
}

static void check_again(const struct config *first)
{
    struct buffer printed, again, faults, settings, settings_again;
    struct config *second;
    buffer_init(&printed, TEXT_MAX);
    buffer_init(&again, TEXT_MAX);
    buffer_init(&faults, TEXT_MAX);
    buffer_init(&settings, TEXT_MAX);
    buffer_init(&settings_again, TEXT_MAX);
    config_print_effective(first, &printed);
    bool has_secret = slice_find_slice(buffer_slice(&printed), SLICE("password")) < buffer_length(&printed);
    if (!has_secret) {
        enum err err = load(buffer_slice(&printed), NULL, NULL, 0, &second, &faults);
        assert(err == ERR_NONE);
        config_print_effective(second, &again);
        add_settings(buffer_slice(&printed), &settings);
        add_settings(buffer_slice(&again), &settings_again);
        assert(slice_equal(buffer_slice(&settings), buffer_slice(&settings_again)));
        config_free(&second);
    }
    buffer_free(&printed);
    buffer_free(&again);
    buffer_free(&faults);
    buffer_free(&settings);
    buffer_free(&settings_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_make(data, size), file = SLICE_EMPTY, variables = SLICE_EMPTY, line;
    static char texts[LINES_MAX][1024];
    const char *environment[LINES_MAX + 1] = {NULL};
    struct slice sets[LINES_MAX];
    size_t variable_count = 0, set_count = 0;
    struct config *config = NULL;
    struct buffer faults;
    if (size > 65536)
        return 0;
    (void)slice_cut(&rest, '\0', &file);
    (void)slice_cut(&rest, '\0', &variables);
    while (variable_count < LINES_MAX && slice_cut(&variables, '\n', &line)) {
        text_print(texts[variable_count], sizeof texts[0], "%.*s", SLICE_ARGS(line));
        if (is_harmless(line))
        {
            environment[variable_count] = texts[variable_count];
            variable_count++;
        }
    }
    while (set_count < LINES_MAX && slice_cut(&rest, '\n', &line))
        sets[set_count++] = line;
    buffer_init(&faults, TEXT_MAX);
    enum err err = load(file, environment, sets, set_count, &config, &faults);
    assert((err == ERR_NONE) == (config != NULL) && (err == ERR_NONE) == (buffer_length(&faults) == 0));
    assert(err == ERR_NONE || (err == ERR_SYNTAX && slice_ends(buffer_slice(&faults), SLICE("\n"))));
    if (err == ERR_NONE)
        check_again(config);
    config_free(&config);
    buffer_free(&faults);
    return 0;
}
