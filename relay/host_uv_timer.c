/* All timers live in one heap behind one uv timer: starting and cancelling is a heap operation, and nothing has to be
 * closed, so that a timer's owner may vanish at once. */
#include "base/heap.h"
#include "relay/host_uv_loop.h"

#include <stdlib.h>

struct running_timer {
    struct heap_node node; /* keyed by the monotonic time in ms at which it is due */
    struct timer *owner;
};

static struct {
    uv_timer_t tick;
    struct host_deferred turn; /* for timers that are due already */
    struct heap heap;
    int64_t armed_ms; /* when tick will fire; meaningless while it is not active */
} timers;

static struct running_timer *running_of(struct heap_node *node);
static void arm(void);
static void on_tick(uv_timer_t *tick);
static void on_turn(struct host_deferred *deferred);
static void run_due(void);

void timer_start(struct timer *timer, int64_t delay_ms, void (*done)(struct timer *timer))
{
    struct running_timer *running = timer->host;
    if (running == NULL) {
        running = host_allocate(sizeof *running);
        running->owner = timer;
        timer->host = running;
    } else {
        heap_remove(&timers.heap, &running->node);
    }
    timer->done = done;
    int64_t due_ms = clock_monotonic_ms() + (delay_ms > 0 ? delay_ms : 0);
    if (heap_add(&timers.heap, &running->node, due_ms) != ERR_NONE) {
        host_give_up("memory");
    }
    arm();
}

void timer_cancel(struct timer *timer)
{
    struct running_timer *running = timer->host;
    if (running == NULL) {
        return;
    }
    heap_remove(&timers.heap, &running->node);
    free(running);
    timer->host = NULL;
    arm();
}

bool timer_is_running(const struct timer *timer)
{
    return timer->host != NULL;
}

void host_timers_open(void)
{
    uv_timer_init(host_loop(), &timers.tick);
    heap_init(&timers.heap);
}

int host_timers_close(void)
{
    int open_count = 0;
    for (struct heap_node *node = heap_first(&timers.heap); node != NULL; node = heap_first(&timers.heap)) {
        struct running_timer *running = running_of(node);
        heap_remove(&timers.heap, node);
        running->owner->host = NULL;
        free(running);
        open_count++;
    }
    heap_free(&timers.heap);
    host_defer_cancel(&timers.turn);
    uv_close((uv_handle_t *)&timers.tick, NULL);
    return open_count;
}

static struct running_timer *running_of(struct heap_node *node)
{
    return LIST_OF(node, struct running_timer, node);
}

/* Sees to it that run_due() is called when the first timer is due. A tick that comes too early, because its timer was
 * cancelled, does no harm: it arms again. */
static void arm(void)
{
    struct heap_node *first = heap_first(&timers.heap);
    if (first == NULL) {
        uv_timer_stop(&timers.tick);
        host_defer_cancel(&timers.turn);
        return;
    }
    if (uv_is_active((uv_handle_t *)&timers.tick) && timers.armed_ms <= first->key) {
        return;
    }
    int64_t delay_ms = first->key - clock_monotonic_ms();
    if (delay_ms <= 0) {
        /* Not by a uv timer of 0 ms: started from a tick, libuv 1.44 runs it in the same round, again and again. */
        host_defer(&timers.turn, on_turn);
        return;
    }
    uv_update_time(host_loop());
    uv_timer_start(&timers.tick, on_tick, (uint64_t)delay_ms, 0);
    timers.armed_ms = first->key;
}

static void on_tick(uv_timer_t *tick)
{
    (void)tick;
    run_due();
}

static void on_turn(struct host_deferred *deferred)
{
    (void)deferred;
    run_due();
}

/* Timers that are started meanwhile wait for the next turn, even those of 0 ms. */
static void run_due(void)
{
    int64_t now_ms = clock_monotonic_ms();
    uint64_t order_end = timers.heap.next_order;
    struct heap_node *node = heap_first(&timers.heap);
    while (node != NULL && node->key <= now_ms && node->order < order_end) {
        struct running_timer *running = running_of(node);
        struct timer *timer = running->owner;
        heap_remove(&timers.heap, node);
        free(running);
        timer->host = NULL;
        timer->done(timer);
        node = heap_first(&timers.heap);
    }
    arm();
}
