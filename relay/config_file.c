#include "relay/config_internal.h"

#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NAMES_MAX 256
#define PATH_LENGTH_MAX 4096
#define READ_MAX 65536u

/* The file that is being read, line by line. */
struct ini {
    struct config_loader *loader;
    const char *path;
    bool may_be_read_by_all;
    size_t line;
    struct slice section, name;
    bool section_is_bad; /* told once; its keys are passed over */
};

static enum err read_all(FILE *file, struct buffer *out);
static void read_text(struct ini *ini, struct slice text);
static void take_section(struct ini *ini, struct slice line);
static void take_key(struct ini *ini, struct slice line, size_t number);
static void origin_of(const struct ini *ini, size_t line, char *out, size_t capacity);

enum err config_slurp(const char *path, struct buffer *out, bool *may_be_read_by_all)
{
    struct stat status;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return err_from_errno(errno);
    if (fstat(fileno(file), &status) != 0 || S_ISDIR(status.st_mode)) {
        fclose(file);
        return ERR_IO;
    }
    *may_be_read_by_all = (status.st_mode & S_IROTH) != 0;
    enum err err = read_all(file, out);
    fclose(file);
    return err;
}

static enum err read_all(FILE *file, struct buffer *out)
{
    size_t length = 1;
    while (length > 0 && buffer_room(out) > 0) {
        size_t wanted = buffer_room(out) < READ_MAX ? buffer_room(out) : READ_MAX;
        char *space = buffer_space(out, wanted);
        if (space == NULL)
            return ERR_MEMORY;
        length = fread(space, 1, wanted, file);
        buffer_added(out, length);
    }
    if (ferror(file))
        return ERR_IO;
    return feof(file) || fgetc(file) == EOF ? ERR_NONE : ERR_LIMIT;
}

void config_read_file(struct config_loader *loader, const char *path, bool must_exist)
{
    struct ini ini = {.loader = loader, .path = path, .section = SLICE_EMPTY, .name = SLICE_EMPTY};
    struct buffer text;
    struct slice kept;
    buffer_init(&text, CONFIG_FILE_MAX);
    enum err err = config_slurp(path, &text, &ini.may_be_read_by_all);
    bool is_forbidden = err == ERR_PERMISSION && loader->lenient;
    bool passed_over = is_forbidden || (err == ERR_NOT_FOUND && !must_exist);
    loader->config->is_partial = loader->config->is_partial || is_forbidden;
    if (loader->files != NULL)
        buffer_print(loader->files, "%s%s%s\n", path, err == ERR_NONE ? "" : ": ", err == ERR_NONE ? "" : err_text(err));
    if (err != ERR_NONE && !passed_over)
        config_fault(loader, slice_of(path), "%s%s", err_text(err),
                     err == ERR_PERMISSION ? "; let the relay's user read it, such as by chgrp sternpost" : "");
    /* Values are views into the text: it lives as long as the configuration. */
    if (err == ERR_NONE && arena_slice(loader->config->arena, buffer_slice(&text), &kept))
        read_text(&ini, kept);
    else if (err == ERR_NONE)
        loader->no_memory = true;
    buffer_free(&text);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static size_t list_names(DIR *directory, char **names)
{
    struct dirent *entry;
    size_t count = 0;
    while (count < NAMES_MAX && (entry = readdir(directory)) != NULL) {
        struct slice name = slice_of(entry->d_name);
        if (!slice_ends(name, SLICE(".conf")) || slice_starts(name, SLICE(".")))
            continue;
        char *copy = strdup(entry->d_name);
        if (copy == NULL)
            break;
        names[count++] = copy;
    }
    return count;
}

void config_read_directory(struct config_loader *loader, const char *path)
{
    char *names[NAMES_MAX];
    DIR *directory = opendir(path);
    if (directory == NULL) {
        bool is_absent = errno == ENOENT || errno == ENOTDIR;
        loader->config->is_partial = loader->config->is_partial || (!is_absent && loader->lenient);
        if (!is_absent && !loader->lenient)
            config_fault(loader, slice_of(path), "%s", err_text(err_from_errno(errno)));
        return;
    }
    size_t count = list_names(directory, names);
    closedir(directory);
    qsort(names, count, sizeof names[0], compare_names);
    for (size_t i = 0; i < count; i++) {
        char file[PATH_LENGTH_MAX];
        snprintf(file, sizeof file, "%s/%s", path, names[i]);
        config_read_file(loader, file, false);
        free(names[i]);
    }
}

/* ---- INI text ---- */

static bool is_continuation(struct slice rest)
{
    return rest.length > 0 && (rest.data[0] == ' ' || rest.data[0] == '\t');
}

static struct slice without_end(struct slice line)
{
    while (line.length > 0 && strchr(" \t\r", line.data[line.length - 1]) != NULL)
        line.length--;
    return line;
}

static bool is_comment(struct slice line)
{
    struct slice text = slice_trim(line);
    return text.length == 0 || text.data[0] == '#' || text.data[0] == ';';
}

static bool is_key(struct slice word)
{
    for (size_t i = 0; i < word.length; i++) {
        char c = word.data[i];
        if (!byte_is_alpha(c) && c != '-' && c != '_' && (i == 0 || !byte_is_digit(c)))
            return false;
    }
    return word.length > 0;
}

/* [section] or [section "name"], but not [::1]:25. */
static bool looks_like_section(struct slice text)
{
    if (text.length < 2 || text.data[0] != '[')
        return false;
    struct slice inner = slice_trim(slice_to(slice_from(text, 1), slice_find(slice_from(text, 1), ']')));
    return is_key(slice_trim(slice_to(inner, slice_find(inner, '"'))));
}

/* key = value, but not the end of a value in base64 ("c2VjcmV0=="). */
static bool looks_like_setting(struct slice text)
{
    size_t equals = slice_find(text, '=');
    struct slice value = slice_from(text, equals);
    while (value.length > 0 && value.data[0] == '=')
        value = slice_from(value, 1);
    struct slice key = slice_trim(slice_to(text, equals));
    return equals < text.length && is_key(key) && (key.length < equals || slice_trim(value).length > 0);
}

/* A line that nobody meant to be the rest of another: taken as such, a password would become part of the name before it. */
static bool begins_anew(struct slice line)
{
    struct slice text = slice_trim(line);
    return looks_like_section(text) || looks_like_setting(text);
}

static bool is_continued(struct slice joined, struct slice text)
{
    struct slice rest = text;
    struct slice line = SLICE_EMPTY;
    if (is_comment(joined) || slice_trim(joined).data[0] == '[' || !is_continuation(text))
        return false;
    (void)slice_cut(&rest, '\n', &line);
    return is_comment(line) || !begins_anew(without_end(line));
}

/* Joins a line with those that continue it; false at the end of the text. */
static bool next_line(struct ini *ini, struct slice *text, struct buffer *joined)
{
    struct slice line;
    buffer_clear(joined);
    if (!slice_cut(text, '\n', &line))
        return false;
    ini->line++;
    buffer_add(joined, without_end(line));
    while (is_continued(buffer_slice(joined), *text) && slice_cut(text, '\n', &line)) {
        ini->line++;
        if (is_comment(line))
            continue;
        buffer_add_byte(joined, ' ');
        buffer_add(joined, slice_trim(without_end(line)));
    }
    return true;
}

/* Told, and read as what it was meant to be: no other faults follow from it. */
static bool take_indent(struct ini *ini, struct slice *line, struct slice origin)
{
    if (!is_continuation(*line))
        return true;
    *line = slice_trim(*line);
    bool is_section = looks_like_section(*line);
    if (is_section || looks_like_setting(*line)) {
        config_fault(ini->loader, origin, "%s is indented, which would make it a part of the line before; begin it at the start of the line",
                     is_section ? "a section" : "a setting");
        return true;
    }
    config_fault(ini->loader, origin, "an indented line continues a setting, and there is none before it");
    return false;
}

static void read_text(struct ini *ini, struct slice text)
{
    struct buffer joined;
    buffer_init(&joined, CONFIG_VALUE_MAX);
    for (;;) {
        size_t number = ini->line + 1;
        if (!next_line(ini, &text, &joined))
            break;
        struct slice line = SLICE_EMPTY;
        char origin[PATH_LENGTH_MAX];
        origin_of(ini, number, origin, sizeof origin);
        if (buffer_failed(&joined))
            config_fault(ini->loader, slice_of(origin), "the value is too long");
        else if (!arena_slice(ini->loader->config->arena, buffer_slice(&joined), &line))
            ini->loader->no_memory = true;
        if (is_comment(line) || !take_indent(ini, &line, slice_of(origin)))
            continue;
        if (line.data[0] == '[') {
            size_t end = ini->line;
            ini->line = number;
            take_section(ini, line);
            ini->line = end;
        } else {
            take_key(ini, line, number);
        }
    }
    buffer_free(&joined);
}

static void origin_of(const struct ini *ini, size_t line, char *out, size_t capacity)
{
    snprintf(out, capacity, "%s:%zu", ini->path, line);
}

static bool is_known_section(struct slice section)
{
    for (size_t i = 0; i < config_key_count; i++) {
        if (slice_equal(section, slice_of(config_keys[i].section)))
            return true;
    }
    return false;
}

static const char *nearest_section(struct slice section)
{
    const char *names[64];
    size_t count = 0;
    for (size_t i = 0; i < config_key_count && count < 64; i++) {
        if (i == 0 || strcmp(config_keys[i].section, config_keys[i - 1].section) != 0)
            names[count++] = config_keys[i].section;
    }
    return text_nearest(section, names, count);
}

/* [section] or [section "name"] */
static void take_section(struct ini *ini, struct slice line)
{
    char origin[PATH_LENGTH_MAX];
    origin_of(ini, ini->line, origin, sizeof origin);
    ini->section_is_bad = true;
    if (line.data[line.length - 1] != ']') {
        config_fault(ini->loader, slice_of(origin), "the section lacks its closing bracket");
        return;
    }
    struct slice inner = slice_trim(slice_make(line.data + 1, line.length - 2));
    size_t quote = slice_find(inner, '"');
    ini->section = slice_trim(slice_to(inner, quote));
    ini->name = slice_from(inner, quote);
    bool named = config_section_is_named(ini->section);
    if (ini->name.length >= 2 && ini->name.data[ini->name.length - 1] == '"')
        ini->name = slice_make(ini->name.data + 1, ini->name.length - 2);
    else if (ini->name.length > 0)
        ini->name = SLICE_EMPTY;
    if (ini->section.length == 0 || !is_known_section(ini->section)) {
        const char *nearest = nearest_section(ini->section);
        config_fault(ini->loader, slice_of(origin), "unknown section [%.*s]%s%s%s", SLICE_ARGS(ini->section),
                     nearest == NULL ? "" : "; did you mean [", nearest == NULL ? "" : nearest, nearest == NULL ? "" : "]?");
    } else if (named != (ini->name.length > 0)) {
        config_fault(ini->loader, slice_of(origin), named ? "this section needs a name, such as [%.*s \"example.com\"]"
                                                          : "section [%.*s] takes no name",
                     SLICE_ARGS(ini->section));
    } else {
        ini->section_is_bad = false;
    }
}

static void take_key(struct ini *ini, struct slice line, size_t number)
{
    char text[PATH_LENGTH_MAX];
    struct slice origin;
    origin_of(ini, number, text, sizeof text);
    size_t equals = slice_find(line, '=');
    if (ini->section_is_bad)
        return;
    if (equals == line.length || slice_trim(slice_to(line, equals)).length == 0) {
        config_fault(ini->loader, slice_of(text), "not \"key = value\"");
        return;
    }
    if (!arena_slice(ini->loader->config->arena, slice_of(text), &origin)) {
        ini->loader->no_memory = true;
        return;
    }
    struct config_setting setting = {
        .section = ini->section,
        .name = ini->name,
        .key = slice_trim(slice_to(line, equals)),
        .value = slice_trim(slice_from(line, equals + 1)),
        .origin = origin,
        .may_be_read_by_all = ini->may_be_read_by_all,
    };
    config_apply(ini->loader, &setting);
}
