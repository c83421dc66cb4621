#include "relay/config_internal.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

#define PREFIX "STERNPOST_"

static const struct config_key *find_variable(struct slice name);
static bool is_of_others(struct slice name);
static void take_variable(struct config_loader *loader, struct slice name, struct slice value);

/* SECTION_KEY in capitals, dashes as underscores. */
static void variable_name(const struct config_key *key, char out[128])
{
    snprintf(out, 128, "%s%s%s", key->section, key->section[0] == '\0' ? "" : "_", key->key);
    for (char *c = out; *c != '\0'; c++) {
        if (*c == '-')
            *c = '_';
        else if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');
    }
}

static const struct config_key *find_variable(struct slice name)
{
    for (size_t i = 0; i < config_key_count; i++) {
        char variable[128];
        bool named = config_section_is_named(slice_of(config_keys[i].section));
        variable_name(&config_keys[i], variable);
        if ((!named || strcmp(config_keys[i].section, "route") == 0) && slice_equal(name, slice_of(variable)))
            return &config_keys[i];
    }
    return NULL;
}

/* Kubernetes sets these for a service of our name. */
static bool is_of_others(struct slice name)
{
    return slice_starts(name, SLICE("SERVICE_")) || slice_starts(name, SLICE("PORT"));
}

void config_read_environment(struct config_loader *loader, const char *const *environment)
{
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++) {
        struct slice variable = slice_of(environment[i]);
        if (!slice_starts(variable, SLICE(PREFIX)))
            continue;
        struct slice rest = slice_from(variable, sizeof PREFIX - 1);
        size_t equals = slice_find(rest, '=');
        struct slice name = slice_to(rest, equals);
        if (!is_of_others(name))
            take_variable(loader, name, equals < rest.length ? slice_from(rest, equals + 1) : SLICE_EMPTY);
    }
}

static bool read_value_file(struct config_loader *loader, struct slice origin, struct slice path, struct config_setting *setting)
{
    char name[4096];
    struct buffer text;
    bool readable_by_all = false;
    text_print(name, sizeof name, "%.*s", SLICE_ARGS(path));
    name[path.length < sizeof name ? path.length : sizeof name - 1] = '\0';
    buffer_init(&text, CONFIG_VALUE_MAX);
    enum err err = config_slurp(name, &text, &readable_by_all);
    if (err != ERR_NONE)
        config_fault(loader, origin, "%s: %s", name, err_text(err));
    struct slice value = buffer_slice(&text);
    while (value.length > 0 && strchr("\r\n", value.data[value.length - 1]) != NULL)
        value.length--;
    setting->is_verbatim = true;
    bool kept = err == ERR_NONE && arena_slice(loader->config->arena, value, &setting->value);
    buffer_free(&text);
    return kept;
}

static void warn_unknown(struct config_loader *loader, struct slice name, struct slice origin)
{
    char variables[128][128];
    const char *names[128];
    size_t count = 0;
    for (size_t i = 0; i < config_key_count && count < 128; i++) {
        variable_name(&config_keys[i], variables[count]);
        names[count] = variables[count];
        count++;
    }
    const char *nearest = text_nearest(name, names, count);
    config_warn(loader, origin, "unknown variable%s%s%s", nearest == NULL ? "" : "; did you mean " PREFIX,
                nearest == NULL ? "" : nearest, nearest == NULL ? "" : "?");
}

static void take_variable(struct config_loader *loader, struct slice name, struct slice value)
{
    struct slice origin;
    if (!arena_print(loader->config->arena, &origin, "environment " PREFIX "%.*s", SLICE_ARGS(name))) {
        loader->no_memory = true;
        return;
    }
    const struct config_key *key = find_variable(name);
    bool from_file = key == NULL && slice_ends(name, SLICE("_FILE"));
    if (from_file)
        key = find_variable(slice_to(name, name.length - 5));
    if (key == NULL) {
        warn_unknown(loader, name, origin);
        return;
    }
    struct config_setting setting = {
        .section = slice_of(key->section),
        .name = strcmp(key->section, "route") == 0 ? SLICE("*") : SLICE_EMPTY,
        .key = slice_of(key->key),
        .value = value,
        .origin = origin,
    };
    if (!from_file || read_value_file(loader, origin, value, &setting))
        config_apply(loader, &setting);
}

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
