/* Jobs on libuv's pool, and lanes: a thread with a queue each. What lanes have finished comes back to the loop through
 * one list and one uv_async for all of them; wake-ups may coalesce, so the list is emptied each time. */
#include "relay/host_uv_loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct pool_job {
    uv_work_t request;
    struct job *job;
};

struct job_queue {
    struct job *first, *last;
};

struct lane_thread {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct job_queue queue; /* the next three under the mutex */
    bool is_closing;
    char name[16]; /* what the system shows of the thread: 15 bytes */
};

static struct {
    uv_async_t finished_some;
    pthread_mutex_t mutex;
    struct job_queue finished; /* under the mutex */
    size_t running_count;      /* queued, running, or not told yet; loop thread only */
    int lane_count;
} lanes = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void queue_add(struct job_queue *queue, struct job *job);
static struct job *queue_take(struct job_queue *queue);
static void begin(struct job *job, void (*work)(struct job *job), void (*done)(struct job *job));
static void pool_work(uv_work_t *request);
static void pool_done(uv_work_t *request, int status);
static enum err lane_thread_start(struct lane_thread *lane);
static void *lane_run(void *argument);
static struct job *lane_wait(struct lane_thread *lane);
static void lane_finished(struct job *job);
static void on_finished(uv_async_t *async);

void job_start(struct job *job, void (*work)(struct job *job), void (*done)(struct job *job))
{
    begin(job, work, done);
    struct pool_job *pool_job = host_allocate(sizeof *pool_job);
    pool_job->job = job;
    job->host = pool_job;
    int status = uv_queue_work(host_loop(), &pool_job->request, pool_work, pool_done);
    assert(status == 0);
}

bool job_is_running(const struct job *job)
{
    return job->host != NULL;
}

enum err lane_open(struct lane *lane, const char *name)
{
    assert(lane->host == NULL);
    struct lane_thread *thread = host_allocate(sizeof *thread);
    pthread_mutex_init(&thread->mutex, NULL);
    pthread_cond_init(&thread->changed, NULL);
    memcpy(thread->name, name, strnlen(name, sizeof thread->name - 1));
    enum err err = lane_thread_start(thread);
    if (err != ERR_NONE) {
        free(thread);
        return err;
    }
    lane->host = thread;
    lanes.lane_count++;
    return ERR_NONE;
}

void lane_start(struct lane *lane, struct job *job, void (*work)(struct job *job), void (*done)(struct job *job))
{
    assert(lane->host != NULL);
    struct lane_thread *thread = lane->host;
    begin(job, work, done);
    job->host = thread;
    if (lanes.running_count++ == 0) {
        uv_ref((uv_handle_t *)&lanes.finished_some);
    }
    pthread_mutex_lock(&thread->mutex);
    queue_add(&thread->queue, job);
    pthread_cond_signal(&thread->changed);
    pthread_mutex_unlock(&thread->mutex);
}

void lane_close(struct lane *lane)
{
    struct lane_thread *thread = lane->host;
    if (thread == NULL) {
        return;
    }
    pthread_mutex_lock(&thread->mutex);
    assert(thread->queue.first == NULL);
    thread->is_closing = true;
    pthread_cond_signal(&thread->changed);
    pthread_mutex_unlock(&thread->mutex);
    pthread_join(thread->thread, NULL);
    pthread_cond_destroy(&thread->changed);
    pthread_mutex_destroy(&thread->mutex);
    free(thread);
    lane->host = NULL;
    lanes.lane_count--;
}

void host_lanes_open(void)
{
    int status = uv_async_init(host_loop(), &lanes.finished_some, on_finished);
    assert(status == 0);
    uv_unref((uv_handle_t *)&lanes.finished_some);
}

int host_lanes_close(void)
{
    uv_close((uv_handle_t *)&lanes.finished_some, NULL);
    return lanes.lane_count + (int)lanes.running_count;
}

static void queue_add(struct job_queue *queue, struct job *job)
{
    job->next = NULL;
    if (queue->first == NULL) {
        queue->first = job;
    } else {
        queue->last->next = job;
    }
    queue->last = job;
}

static struct job *queue_take(struct job_queue *queue)
{
    struct job *job = queue->first;
    if (job != NULL) {
        queue->first = job->next;
        job->next = NULL;
    }
    return job;
}

static void begin(struct job *job, void (*work)(struct job *job), void (*done)(struct job *job))
{
    assert(job->host == NULL);
    job->work = work;
    job->done = done;
}

static void pool_work(uv_work_t *request)
{
    struct job *job = LIST_OF(request, struct pool_job, request)->job;
    job->work(job);
}

static void pool_done(uv_work_t *request, int status)
{
    assert(status == 0);
    struct pool_job *pool_job = LIST_OF(request, struct pool_job, request);
    struct job *job = pool_job->job;
    free(pool_job);
    job->host = NULL;
    job->done(job);
}

/* Signals are the loop's: the thread is born with all of them blocked. */
static enum err lane_thread_start(struct lane_thread *lane)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int number = pthread_create(&lane->thread, NULL, lane_run, lane);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (number == 0) {
        (void)pthread_setname_np(lane->thread, lane->name);
    }
    return err_from_errno(number);
}

static void *lane_run(void *argument)
{
    struct lane_thread *lane = argument;
    for (struct job *job = lane_wait(lane); job != NULL; job = lane_wait(lane)) {
        job->work(job);
        lane_finished(job);
    }
    return NULL;
}

/* The next job, or NULL when the lane is closed. */
static struct job *lane_wait(struct lane_thread *lane)
{
    pthread_mutex_lock(&lane->mutex);
    while (lane->queue.first == NULL && !lane->is_closing) {
        pthread_cond_wait(&lane->changed, &lane->mutex);
    }
    struct job *job = queue_take(&lane->queue);
    pthread_mutex_unlock(&lane->mutex);
    return job;
}

static void lane_finished(struct job *job)
{
    pthread_mutex_lock(&lanes.mutex);
    queue_add(&lanes.finished, job);
    pthread_mutex_unlock(&lanes.mutex);
    uv_async_send(&lanes.finished_some);
}

static void on_finished(uv_async_t *async)
{
    pthread_mutex_lock(&lanes.mutex);
    struct job_queue finished = lanes.finished;
    lanes.finished.first = NULL;
    pthread_mutex_unlock(&lanes.mutex);
    for (struct job *job = queue_take(&finished); job != NULL; job = queue_take(&finished)) {
        if (--lanes.running_count == 0) {
            uv_unref((uv_handle_t *)async);
        }
        job->host = NULL;
        job->done(job);
    }
}
