#include "test/unit/loop.h"

#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

#define MANY 500

struct noted_job {
    struct job job;
    size_t id;
    size_t worked, done; /* calls; worked is written elsewhere, and read after done() */
    pthread_t thread;
    struct lane *again; /* done() starts it there once more */
};

static pthread_t loop_thread;
static size_t done_count;
static size_t order[2 * MANY];
static size_t worked_order[MANY]; /* of one lane: written by its thread alone */
static size_t worked_count;

static struct noted_job *noted_of(struct job *job)
{
    return LIST_OF(job, struct noted_job, job);
}

static void work(struct job *job)
{
    struct noted_job *noted = noted_of(job);
    noted->worked++;
    noted->thread = pthread_self();
}

static void work_in_order(struct job *job)
{
    work(job);
    worked_order[worked_count++] = noted_of(job)->id;
}

static sem_t begun;

static void work_slowly(struct job *job)
{
    sem_post(&begun);
    usleep(20000);
    work(job);
}

static void done(struct job *job)
{
    struct noted_job *noted = noted_of(job);
    assert_true(pthread_equal(pthread_self(), loop_thread));
    assert_false(job_is_running(job));
    assert_int_equal(noted->worked, noted->done + 1);
    assert_false(pthread_equal(noted->thread, loop_thread));
    noted->done++;
    order[done_count++] = noted->id;
    struct lane *again = noted->again;
    noted->again = NULL;
    if (again != NULL) {
        lane_start(again, job, work, done);
    }
}

static void done_and_gone(struct job *job)
{
    struct noted_job *noted = noted_of(job);
    done_count++;
    memset(noted, 0xa5, sizeof *noted);
    free(noted);
}

static int open_loop(void **state)
{
    (void)state;
    done_count = worked_count = 0;
    sem_init(&begun, 0, 0);
    loop_thread = pthread_self();
    loop_open();
    return 0;
}

static int close_loop(void **state)
{
    (void)state;
    loop_close();
    return 0;
}

static void test_jobs_are_done_once_each(void **state)
{
    (void)state;
    static struct noted_job jobs[MANY];
    memset(jobs, 0, sizeof jobs);
    for (size_t i = 0; i < MANY; i++) {
        job_start(&jobs[i].job, work, done);
        assert_true(job_is_running(&jobs[i].job));
    }
    check_number("none within the call", done_count, 0);
    loop_until("jobs", &done_count, MANY);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(jobs[i].done, 1);
    }
}

static void test_a_job_keeps_the_loop_running(void **state)
{
    (void)state;
    struct noted_job job = {0};
    host_stop();
    job_start(&job.job, work_slowly, done);
    host_run();
    check_number("done", job.done, 1);
}

static void test_a_lane_keeps_the_order(void **state)
{
    (void)state;
    static struct noted_job jobs[MANY];
    struct lane lane = {0};
    memset(jobs, 0, sizeof jobs);
    assert_int_equal(lane_open(&lane, "a name longer than the system shows"), ERR_NONE);
    for (size_t i = 0; i < MANY; i++) {
        jobs[i].id = i;
        lane_start(&lane, &jobs[i].job, work_in_order, done);
        if (i % 50 == 0) {
            loop_for(1); /* so that wake-ups come one by one and together */
        }
    }
    loop_until("jobs", &done_count, MANY);
    lane_close(&lane);
    lane_close(&lane);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(order[i], i);
        assert_int_equal(worked_order[i], i);
        assert_true(pthread_equal(jobs[i].thread, jobs[0].thread));
    }
}

static void test_done_may_start_the_next(void **state)
{
    (void)state;
    struct lane one = {0}, other = {0};
    struct noted_job job = {.again = &other};
    assert_int_equal(lane_open(&one, "one"), ERR_NONE);
    assert_int_equal(lane_open(&other, "other"), ERR_NONE);
    lane_start(&one, &job.job, work, done);
    loop_until("both", &done_count, 2);
    check_number("worked", job.worked, 2);
    lane_close(&one);
    lane_close(&other);
}

/* Lanes work at the same time, and beside the pool: none waits for the others. */
static void test_lanes_are_threads_of_their_own(void **state)
{
    (void)state;
    struct lane lanes[4] = {0};
    struct noted_job jobs[4] = {0};
    static struct noted_job pool[64];
    memset(pool, 0, sizeof pool);
    for (size_t i = 0; i < COUNT_OF(pool); i++) {
        pool[i].id = 100;
        job_start(&pool[i].job, work_slowly, done);
    }
    for (size_t i = 0; i < COUNT_OF(lanes); i++) {
        assert_int_equal(lane_open(&lanes[i], "lane"), ERR_NONE);
        lane_start(&lanes[i], &jobs[i].job, work, done);
    }
    loop_until("all", &done_count, COUNT_OF(lanes) + COUNT_OF(pool));
    check_true("a lane was not last", order[COUNT_OF(lanes) + COUNT_OF(pool) - 1] == 100);
    for (size_t i = 0; i < COUNT_OF(lanes); i++) {
        check_number("done", jobs[i].done, 1);
        lane_close(&lanes[i]);
    }
}

/* Closing waits for the work; that it is done is told all the same. */
static void test_closing_a_lane_loses_no_done(void **state)
{
    (void)state;
    struct lane lane = {0};
    struct noted_job job = {0};
    assert_int_equal(lane_open(&lane, "lane"), ERR_NONE);
    sem_init(&begun, 0, 0);
    lane_start(&lane, &job.job, work_slowly, done);
    sem_wait(&begun);
    lane_close(&lane);
    check_number("worked", job.worked, 1);
    check_number("not told within the call", job.done, 0);
    loop_until("done", &done_count, 1);
}

static void test_owners_vanish_in_callbacks(void **state)
{
    (void)state;
    struct lane lane = {0};
    assert_int_equal(lane_open(&lane, "lane"), ERR_NONE);
    for (size_t i = 0; i < 100; i++) {
        struct noted_job *on_lane = calloc(1, sizeof *on_lane), *on_pool = calloc(1, sizeof *on_pool);
        lane_start(&lane, &on_lane->job, work, done_and_gone);
        job_start(&on_pool->job, work, done_and_gone);
    }
    loop_until("all", &done_count, 200);
    lane_close(&lane);
}

static size_t signals;

static void on_signal(void *owner, int number)
{
    assert_ptr_equal(owner, &signals);
    assert_int_equal(number, SIGUSR1);
    signals++;
}

static void test_signals_come_to_the_loop(void **state)
{
    (void)state;
    signals = 0;
    assert_int_equal(host_signal(SIGUSR1, on_signal, &signals), ERR_NONE);
    kill(getpid(), SIGUSR1);
    check_number("not within the call", signals, 0);
    loop_until("one", &signals, 1);
    kill(getpid(), SIGPIPE);
    loop_for(5);
    check_number("signals", signals, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_jobs_are_done_once_each, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_a_job_keeps_the_loop_running, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_a_lane_keeps_the_order, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_done_may_start_the_next, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_lanes_are_threads_of_their_own, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_closing_a_lane_loses_no_done, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_owners_vanish_in_callbacks, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_signals_come_to_the_loop, open_loop, close_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
