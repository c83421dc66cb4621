#include "relay/config_internal.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

#define PREFIX "STERNPOST_"
#define VARIABLE_MAX 128

struct reading {
    struct config_loader *loader;
    const char *const *environment;
};
/* A variable that was understood. */
struct variable {
    const struct config_key *key;
    struct slice stem; /* "ROUTE_1": which of the named sections; empty: none */
    bool is_name;      /* "ROUTE_1_NAME", and key is any of the section */
    bool from_file;    /* the value stands in a file */
};

static bool is_of_others(struct slice name);
static void take_variable(struct reading *reading, struct slice name, struct slice value);

/* ---- names ---- */

static struct slice capitals(const char *word, char out[VARIABLE_MAX])
{
    size_t length = 0;
    for (; word[length] != '\0' && length < VARIABLE_MAX - 1; length++) {
        char c = word[length];
        out[length] = c == '-' ? '_' : c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    out[length] = '\0';
    return slice_make(out, length);
}

/* SECTION_KEY in capitals, dashes as underscores; in between the number of a named section, unless it is empty. */
static struct slice variable_name(const struct config_key *key, struct slice number, char out[VARIABLE_MAX])
{
    char text[VARIABLE_MAX];
    text_print(text, sizeof text, "%s%s%.*s%s%s", key->section, key->section[0] == '\0' ? "" : "_", SLICE_ARGS(number),
               number.length > 0 ? "_" : "", key->key);
    return capitals(text, out);
}

/* "ROUTE_12_VIA" of the section "route": its number, and what stands behind it. */
static bool split_number(struct slice name, const char *section, struct slice *number, struct slice *rest)
{
    char text[VARIABLE_MAX];
    struct slice prefix = capitals(section, text);
    size_t digits = 0;
    *number = *rest = SLICE_EMPTY;
    if (!slice_starts(name, prefix) || name.length < prefix.length + 3 || name.data[prefix.length] != '_')
        return false;
    struct slice behind = slice_from(name, prefix.length + 1);
    while (digits < behind.length && byte_is_digit(behind.data[digits]))
        digits++;
    if (digits == 0 || digits == behind.length || behind.data[digits] != '_')
        return false;
    *number = slice_to(behind, digits);
    *rest = slice_from(behind, digits + 1);
    return true;
}

static bool match_key(struct slice name, const struct config_key *key, struct variable *variable)
{
    char text[VARIABLE_MAX];
    struct slice number, rest;
    bool is_named = config_section_is_named(slice_of(key->section));
    *variable = (struct variable){.key = key, .stem = SLICE_EMPTY};
    if ((!is_named || strcmp(key->section, "route") == 0) && slice_equal(name, variable_name(key, SLICE_EMPTY, text)))
        return true;
    if (!is_named || !split_number(name, key->section, &number, &rest))
        return false;
    variable->stem = slice_to(name, name.length - rest.length - 1);
    variable->is_name = slice_equal(rest, SLICE("NAME"));
    return variable->is_name || slice_equal(rest, capitals(key->key, text));
}

static bool find_variable(struct slice name, struct variable *variable)
{
    for (int from_file = 0; from_file <= 1; from_file++) {
        if (from_file && !slice_ends(name, SLICE("_FILE")))
            return false;
        struct slice plain = from_file ? slice_to(name, name.length - 5) : name;
        for (size_t i = 0; i < config_key_count; i++) {
            if (!match_key(plain, &config_keys[i], variable))
                continue;
            variable->from_file = from_file;
            return true;
        }
    }
    return false;
}

/* Kubernetes sets these for a service of our name. */
static bool is_of_others(struct slice name)
{
    return slice_starts(name, SLICE("SERVICE_")) || slice_starts(name, SLICE("PORT"));
}

/* ---- the environment ---- */

/* The variables of ours from *index on, one at a time. */
static bool next_variable(const struct reading *reading, size_t *index, struct slice *name, struct slice *value)
{
    while (reading->environment != NULL && reading->environment[*index] != NULL) {
        struct slice text = slice_of(reading->environment[(*index)++]);
        struct slice rest = slice_from(text, sizeof PREFIX - 1);
        size_t equals = slice_find(rest, '=');
        *name = slice_to(rest, equals);
        *value = slice_from(rest, equals + 1);
        if (slice_starts(text, SLICE(PREFIX)) && !is_of_others(*name))
            return true;
    }
    return false;
}

void config_read_environment(struct config_loader *loader, const char *const *environment)
{
    struct reading reading = {.loader = loader, .environment = environment};
    struct slice name, value;
    size_t index = 0;
    while (next_variable(&reading, &index, &name, &value))
        take_variable(&reading, name, value);
}

static enum err slurp_value(struct config_loader *loader, const char *path, struct slice *value)
{
    struct buffer text;
    bool readable_by_all = false;
    buffer_init(&text, CONFIG_VALUE_MAX);
    enum err err = config_slurp(path, &text, &readable_by_all);
    struct slice content = buffer_slice(&text);
    while (content.length > 0 && strchr("\r\n", content.data[content.length - 1]) != NULL)
        content.length--;
    if (err == ERR_NONE && !arena_slice(loader->config->arena, content, value))
        err = ERR_MEMORY;
    buffer_free(&text);
    return err;
}

static bool read_value_file(struct config_loader *loader, struct slice origin, struct slice path, struct slice *value)
{
    char name[4096];
    text_print(name, sizeof name, "%.*s", SLICE_ARGS(path));
    enum err err = slurp_value(loader, name, value);
    if (err != ERR_NONE)
        config_fault(loader, origin, "%s: %s", name, err_text(err));
    return err == ERR_NONE;
}

/* The name that belongs to a stem: that of STERNPOST_ROUTE_1_NAME for ROUTE_1. Not there: told. */
static bool find_name(struct reading *reading, struct slice stem, struct slice origin, struct slice *found)
{
    struct slice name, value;
    struct variable variable;
    size_t index = 0;
    while (next_variable(reading, &index, &name, &value)) {
        if (!find_variable(name, &variable) || !variable.is_name || !slice_equal(variable.stem, stem))
            continue;
        *found = value;
        if (variable.from_file && !read_value_file(reading->loader, origin, value, found))
            return false;
        if (config_first_line(*found).length == found->length)
            return true;
        config_fault(reading->loader, origin, "the name in " PREFIX "%.*s has more than one line", SLICE_ARGS(name));
        return false;
    }
    config_fault(reading->loader, origin, "which one is it? Set " PREFIX "%.*s_NAME too, such as to example.com", SLICE_ARGS(stem));
    return false;
}

/* Of another section, wherever it stands: a file that cannot be read, or has no name in it, is told where it is taken itself. */
static bool has_name(struct reading *reading, const struct variable *variable, struct slice value, struct slice name)
{
    char path[4096];
    struct slice found = value;
    text_print(path, sizeof path, "%.*s", SLICE_ARGS(value));
    if (variable->from_file && slurp_value(reading->loader, path, &found) != ERR_NONE)
        return false;
    return slice_equal_nocase(found, name);
}

/* A name alone says nothing; two numbers for one name would overwrite each other in the order of the environment. */
static void check_name(struct reading *reading, const struct variable *named, struct slice origin, struct slice given)
{
    struct slice name, other, value = given;
    struct variable variable;
    size_t index = 0;
    bool has_keys = false;
    if (named->from_file && !read_value_file(reading->loader, origin, given, &value))
        return;
    bool is_name = value.length > 0 && config_first_line(value).length == value.length; /* else perhaps a key, which is not shown */
    while (next_variable(reading, &index, &name, &other)) {
        if (!find_variable(name, &variable) || variable.stem.length == 0)
            continue;
        bool is_same = slice_equal(variable.stem, named->stem);
        has_keys = has_keys || (is_same && !variable.is_name);
        if (is_name && variable.is_name && !is_same && strcmp(variable.key->section, named->key->section) == 0 &&
            has_name(reading, &variable, other, value))
            config_fault(reading->loader, origin, "\"%.*s\" is the name in " PREFIX "%.*s too", SLICE_ARGS(value), SLICE_ARGS(name));
    }
    if (value.length == 0)
        config_fault(reading->loader, origin, "the name is empty");
    if (!has_keys)
        config_warn(reading->loader, origin, "nothing else is set with " PREFIX "%.*s_", SLICE_ARGS(named->stem));
}

/* What there is instead: of the same numbered section, else of all; in a section that takes a name the number may be what is missing. */
static void warn_unknown(struct config_loader *loader, struct slice name, struct slice origin)
{
    static const char first[] = "1";
    char variables[128][VARIABLE_MAX];
    const char *names[128];
    size_t count = 0;
    for (size_t i = 0; i < config_key_count && count < 128; i++) {
        struct slice number, rest;
        bool is_numbered = config_section_is_named(slice_of(config_keys[i].section));
        (void)split_number(name, config_keys[i].section, &number, &rest);
        if (is_numbered && slice_equal(name, variable_name(&config_keys[i], SLICE_EMPTY, variables[count]))) {
            struct slice whole = variable_name(&config_keys[i], slice_of(first), variables[count]);
            config_warn(loader, origin, "unknown variable; sections with a name are numbered: set " PREFIX "%.*s, and the name in " PREFIX
                                        "%.*sNAME",
                        SLICE_ARGS(whole), (int)(whole.length - strlen(config_keys[i].key)), whole.data);
            return;
        }
        (void)variable_name(&config_keys[i], is_numbered ? number : SLICE_EMPTY, variables[count]);
        names[count] = variables[count];
        count++;
    }
    const char *nearest = text_nearest(name, names, count);
    config_warn(loader, origin, "unknown variable%s%s%s", nearest == NULL ? "" : "; did you mean " PREFIX,
                nearest == NULL ? "" : nearest, nearest == NULL ? "" : "?");
}

static void take_variable(struct reading *reading, struct slice name, struct slice value)
{
    struct config_loader *loader = reading->loader;
    struct slice origin;
    struct variable variable;
    if (!arena_print(loader->config->arena, &origin, "environment " PREFIX "%.*s", SLICE_ARGS(name))) {
        loader->no_memory = true;
        return;
    }
    if (!find_variable(name, &variable)) {
        warn_unknown(loader, name, origin);
        return;
    }
    if (variable.is_name) {
        check_name(reading, &variable, origin, value);
        return;
    }
    struct config_setting setting = {
        .section = slice_of(variable.key->section),
        .name = strcmp(variable.key->section, "route") == 0 ? SLICE("*") : SLICE_EMPTY,
        .key = slice_of(variable.key->key),
        .value = value,
        .origin = origin,
        .is_verbatim = variable.from_file,
    };
    if (variable.stem.length > 0 && !find_name(reading, variable.stem, origin, &setting.name))
        return;
    if (!variable.from_file || read_value_file(loader, origin, value, &setting.value))
        config_apply(loader, &setting);
}

/* ---- --set ---- */

/* SECTION.KEY=VALUE, KEY=VALUE at the top level, SECTION."NAME".KEY=VALUE. */
void config_read_set(struct config_loader *loader, struct slice set)
{
    struct config_setting setting = {.section = SLICE_EMPTY, .name = SLICE_EMPTY, .origin = SLICE("--set")};
    size_t open = slice_find(set, '"');
    size_t equals = slice_find(set, '=');
    if (open < equals) {
        struct slice rest = slice_from(set, open + 1);
        size_t close = slice_find(rest, '"');
        setting.name = slice_to(rest, close);
        setting.section = slice_to(set, open == 0 ? 0 : open - 1);
        rest = slice_from(rest, close + 1);
        equals = slice_find(rest, '=');
        setting.key = slice_from(slice_to(rest, equals), 1);
        setting.value = slice_from(rest, equals + 1);
        set = rest;
    } else {
        struct slice path = slice_to(set, equals);
        size_t dot = slice_find_last(path, '.');
        setting.section = dot < path.length ? slice_to(path, dot) : SLICE_EMPTY;
        setting.key = dot < path.length ? slice_from(path, dot + 1) : path;
        setting.value = slice_from(set, equals + 1);
    }
    setting.key = slice_trim(setting.key);
    setting.value = slice_trim(setting.value);
    if (equals >= set.length || setting.key.length == 0)
        config_fault(loader, setting.origin, "\"%.*s\" is not SECTION.KEY=VALUE", SLICE_ARGS(set));
    else
        config_apply(loader, &setting);
}
