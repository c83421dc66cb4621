#include "relay/host_uv.h"

#include "relay/host_uv_loop.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* One more pool thread than processors: a job may wait for memory or a page, and the loop has a processor to give. */
#define POOL_THREADS_MAX 64U
/* Descriptors kept back from connections: the resolver's sockets, the database, logs, policies being fetched. */
#define DESCRIPTORS_KEPT 400U
#define FILES_WANTED 65536U

struct watched_signal {
    uv_signal_t signal;
    int number;
    void (*handler)(void *owner, int number);
    void *owner;
};

static const int signal_numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
#define SIGNAL_COUNT (sizeof signal_numbers / sizeof signal_numbers[0])

static struct {
    uv_loop_t loop;
    uv_async_t running; /* keeps host_run() going until host_stop() */
    uv_idle_t idle;     /* active while calls are put off */
    struct list deferred;
    struct watched_signal signals[SIGNAL_COUNT];
    size_t connection_max;
    bool is_open;
} host;

static void raise_file_limit(void);
static void size_pool(void);
static void run_deferred(uv_idle_t *idle);
static void wake(uv_async_t *async);
static void on_signal(uv_signal_t *signal, int number);
static void close_own_handles(void);
static void close_leftover(uv_handle_t *handle, void *count);

enum err host_open(void)
{
    assert(!host.is_open);
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR) {
        return err_from_errno(errno);
    }
    raise_file_limit();
    size_pool();
    int status = uv_loop_init(&host.loop);
    if (status != 0) {
        return host_err(status);
    }
    status = uv_async_init(&host.loop, &host.running, wake);
    if (status != 0) {
        uv_loop_close(&host.loop);
        return host_err(status);
    }
    uv_idle_init(&host.loop, &host.idle);
    list_init(&host.deferred);
    memset(host.signals, 0, sizeof host.signals);
    host.is_open = true;
    host_timers_open();
    host_lanes_open();
    return ERR_NONE;
}

void host_run(void)
{
    assert(host.is_open);
    uv_run(&host.loop, UV_RUN_DEFAULT);
}

void host_stop(void)
{
    assert(host.is_open);
    uv_unref((uv_handle_t *)&host.running);
    /* Lets a loop that waits for nothing else see it. */
    uv_async_send(&host.running);
}

int host_close(void)
{
    assert(host.is_open);
    int open_count = host_timers_close() + host_lanes_close();
    close_own_handles();
    /* Two turns: the first runs the callbacks of what was closed before, which may close more. */
    uv_run(&host.loop, UV_RUN_NOWAIT);
    uv_run(&host.loop, UV_RUN_NOWAIT);
    uv_walk(&host.loop, close_leftover, &open_count);
    uv_run(&host.loop, UV_RUN_DEFAULT);
    int status = uv_loop_close(&host.loop);
    assert(status == 0);
    host.is_open = false;
    return open_count;
}

enum err host_signal(int number, void (*handler)(void *owner, int number), void *owner)
{
    assert(host.is_open);
    size_t i = 0;
    while (i < SIGNAL_COUNT && signal_numbers[i] != number) {
        i++;
    }
    assert(i < SIGNAL_COUNT);
    struct watched_signal *watched = &host.signals[i];
    watched->handler = handler;
    watched->owner = owner;
    if (watched->number != 0) {
        return ERR_NONE;
    }
    int status = uv_signal_init(&host.loop, &watched->signal);
    if (status != 0) {
        return host_err(status);
    }
    watched->number = number;
    uv_unref((uv_handle_t *)&watched->signal);
    return host_err(uv_signal_start(&watched->signal, on_signal, number));
}

uv_loop_t *host_loop(void)
{
    assert(host.is_open);
    return &host.loop;
}

void host_defer(struct host_deferred *deferred, void (*run)(struct host_deferred *deferred))
{
    deferred->run = run;
    if (list_has(&deferred->node)) {
        return;
    }
    list_add_last(&host.deferred, &deferred->node);
    uv_idle_start(&host.idle, run_deferred);
}

void host_defer_cancel(struct host_deferred *deferred)
{
    if (!list_has(&deferred->node)) {
        return;
    }
    list_remove(&host.deferred, &deferred->node);
    if (list_is_empty(&host.deferred)) {
        uv_idle_stop(&host.idle);
    }
}

void *host_allocate(size_t size)
{
    void *memory = calloc(1, size);
    if (memory == NULL) {
        host_give_up("memory");
    }
    return memory;
}

void host_give_up(const char *what)
{
    fprintf(stderr, "sternpost: out of %s\n", what);
    abort();
}

size_t host_connection_max(void)
{
    return host.connection_max;
}

void host_connection_max_set(size_t count_max)
{
    host.connection_max = count_max;
}

static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        limit.rlim_cur = limit.rlim_max = 1024;
    }
    if (limit.rlim_max < FILES_WANTED) { /* only root may */
        struct rlimit wanted = {.rlim_cur = FILES_WANTED, .rlim_max = FILES_WANTED};
        limit = setrlimit(RLIMIT_NOFILE, &wanted) == 0 ? wanted : limit;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit wanted = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
        limit = setrlimit(RLIMIT_NOFILE, &wanted) == 0 ? wanted : limit;
    }
    size_t all = limit.rlim_cur > 1000000 ? 1000000 : (size_t)limit.rlim_cur;
    host.connection_max = all >= 4 * DESCRIPTORS_KEPT ? all - DESCRIPTORS_KEPT : all - all / 4;
}

static void size_pool(void)
{
    unsigned threads = uv_available_parallelism() + 1;
    char text[16];
    snprintf(text, sizeof text, "%u", threads > POOL_THREADS_MAX ? POOL_THREADS_MAX : threads);
    setenv("UV_THREADPOOL_SIZE", text, 1);
    /* A system call filter made for epoll would end the process on io_uring's calls. */
    setenv("UV_USE_IO_URING", "0", 1);
}

/* Only the calls that waited when the turn began: one that puts itself off again must not keep the loop from I/O. */
static void run_deferred(uv_idle_t *idle)
{
    size_t count = host.deferred.count;
    while (count > 0 && !list_is_empty(&host.deferred)) {
        struct list_node *node = list_take_first(&host.deferred);
        struct host_deferred *deferred = LIST_OF(node, struct host_deferred, node);
        deferred->run(deferred);
        count--;
    }
    if (list_is_empty(&host.deferred)) {
        uv_idle_stop(idle);
    }
}

static void wake(uv_async_t *async)
{
    (void)async;
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct watched_signal *watched = LIST_OF(signal, struct watched_signal, signal);
    watched->handler(watched->owner, number);
}

static void close_own_handles(void)
{
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        if (host.signals[i].number != 0) {
            uv_close((uv_handle_t *)&host.signals[i].signal, NULL);
        }
    }
    uv_close((uv_handle_t *)&host.idle, NULL);
    uv_close((uv_handle_t *)&host.running, NULL);
}

static void close_leftover(uv_handle_t *handle, void *count)
{
    if (!uv_is_closing(handle)) {
        *(int *)count += 1;
        uv_close(handle, NULL);
    }
}
