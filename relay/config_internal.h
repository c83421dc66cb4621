/* The inside of the configuration: config.c loads and checks the whole, config_file.c reads INI text, config_environment.c the
 * variables, config_table.c has every key, config_value.c reads single values, config_check.c judges the whole,
 * config_hint.c knows what unknown keys may mean, config_print.c makes sample and manual. */
#ifndef RELAY_CONFIG_INTERNAL_H
#define RELAY_CONFIG_INTERNAL_H

#include "relay/config.h"

#define CONFIG_ITEMS_MAX 1024 /* of one list, and of routes, destinations, keys */
#define CONFIG_VALUE_MAX 65536
#define CONFIG_FILE_MAX (4u << 20)

/* One value and where it stands, for messages. */
struct config_setting {
    struct slice section; /* empty: top level */
    struct slice name;    /* of [section "name"]; empty: none */
    struct slice key, value;
    struct slice origin;  /* "/etc/sternpost/sternpost.conf:12", "environment STERNPOST_HOSTNAME", "--set" */
    bool may_be_read_by_all; /* it stands in a file that everybody can read */
    bool is_verbatim;        /* the content of a file of its own (_FILE): quotes are meant */
};
struct config_kept {
    struct list_node node; /* in config.settings */
    struct config_setting setting;
};
struct config_loader {
    struct config *config;
    struct buffer *faults, *warnings;
    size_t fault_count;
    bool lenient, no_memory;
    struct buffer *files;
    struct config_route *routes;
    struct config_destination *destinations;
    struct config_dkim *dkims;
    struct config_client *clients;
    struct config_listen *listen;
    size_t listen_count;
};

/* Reads one value into its place in the struct; false: *expected says what belongs there ("a size such as 50M"). */
typedef bool config_parse(struct config_loader *loader, struct slice value, void *place, const char **expected);

struct config_key {
    const char *section; /* "" top level; "route", "destination", "dkim" and "client" take a name */
    const char *key;
    size_t offset;       /* in struct config, or in the section's own struct */
    config_parse *parse;
    const char *normal;  /* default, as a file would say it; "" none */
    bool is_secret;
    const char *meaning; /* for the sample and the manual */
};
extern const struct config_key config_keys[];
extern const size_t config_key_count;
/* Sections with a name, and what it may be beside a domain: "*", "*.example.com", "from:example.com"; or a network instead. */
enum config_name { CONFIG_NAME_ALL = 1, CONFIG_NAME_BELOW = 2, CONFIG_NAME_SENDER = 4, CONFIG_NAME_NETWORK = 8 };
struct config_named {
    const char *section;
    unsigned forms;      /* set of enum config_name */
    const char *example; /* of a name */
};
const struct config_named *config_named_find(struct slice section); /* NULL: takes no name */
bool config_section_is_named(struct slice section);
const struct config_key *config_key_find(struct slice section, struct slice key);

/* Up to what cannot stand in one line. The rest may be a secret: whoever gives a file for a path is not shown what is in it. */
struct slice config_first_line(struct slice value);

/* Applies one setting, or tells its fault. */
void config_apply(struct config_loader *loader, const struct config_setting *setting);
void config_fault(struct config_loader *loader, struct slice origin, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void config_warn(struct config_loader *loader, struct slice origin, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The setting of a key in force; name: that of a named section, else empty. NULL: the default holds. */
struct config_setting *config_setting_find(const struct config *config, struct slice section, struct slice name,
                                           struct slice key);
/* "/etc/sternpost/sternpost.conf:12: [tls] key": where a key was set, for faults that several keys make together. An empty key: any of
 * the section. Without a place where it is the default that is wrong. */
struct slice config_place(struct config_loader *loader, struct slice section, struct slice name, struct slice key);

/* config_hint.c */
void config_tell_unknown(struct config_loader *loader, const struct config_setting *setting);
/* config_check.c: what only shows when all is read. */
void config_check(struct config_loader *loader);

/* config_file.c. Missing files are told only when `must_exist`. */
void config_read_file(struct config_loader *loader, const char *path, bool must_exist);
void config_read_directory(struct config_loader *loader, const char *path);
MUST_CHECK enum err config_slurp(const char *path, struct buffer *out, bool *may_be_read_by_all);
/* config_environment.c */
void config_read_environment(struct config_loader *loader, const char *const *environment);
void config_read_set(struct config_loader *loader, struct slice set);

/* config_value.c */
config_parse config_parse_text, config_parse_flag, config_parse_count, config_parse_port, config_parse_size,
    config_parse_duration, config_parse_schedule, config_parse_networks, config_parse_domains, config_parse_endpoints,
    config_parse_servers, config_parse_sources, config_parse_family, config_parse_route_tls, config_parse_default_tls,
    config_parse_log_format, config_parse_log_level, config_parse_minimum, config_parse_via, config_parse_rate,
    config_parse_listen_smtp, config_parse_listen_submission, config_parse_listen_submissions, config_parse_address;

#endif
