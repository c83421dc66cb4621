/*     sternpost-sink PORT [CERTIFICATE KEY]      takes mail on that port of every address; STARTTLS with a certificate
 *
 * On standard input, a line each: "expect N" begins a new count, of messages numbered from 0 to N-1; "report" prints
 * it. It is printed by itself when the last of them has arrived. The end of standard input ends the program. */
#include "sink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 256

static struct ledger ledger;

static void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

/* ---- the ledger */

double ledger_now_s(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

void ledger_expect(struct ledger *to, uint64_t count)
{
    free(to->seen);
    *to = (struct ledger){.expected = count, .seen = calloc(count / 8 + 1, 1)};
    if (to->seen == NULL) {
        die("memory");
    }
}

void ledger_add(struct ledger *to, uint64_t number, bool is_plain)
{
    to->plain += is_plain;
    if (number >= to->expected) {
        to->foreign++;
        return;
    }
    unsigned char bit = (unsigned char)(1U << number % 8);
    if (to->seen[number / 8] & bit) {
        to->duplicates++;
        return;
    }
    to->seen[number / 8] |= bit;
    to->last_s = ledger_now_s();
    to->first_s = to->distinct++ == 0 ? to->last_s : to->first_s;
    if (to->distinct == to->expected) {
        ledger_print(to);
    }
}

void ledger_print(const struct ledger *from)
{
    printf("messages=%llu duplicates=%llu foreign=%llu plain=%llu connections=%llu handshakes=%llu first=%.6f "
           "last=%.6f\n",
           (unsigned long long)from->distinct, (unsigned long long)from->duplicates, (unsigned long long)from->foreign,
           (unsigned long long)from->plain, (unsigned long long)from->connections, (unsigned long long)from->handshakes,
           from->first_s, from->last_s);
    fflush(stdout);
}

/* ---- the loop */

static void watch(int epoll, int fd, int operation, struct session *session)
{
    bool writes = session != NULL && session_wants_write(session);
    struct epoll_event event = {.events = EPOLLIN | (writes ? EPOLLOUT : 0), .data.ptr = session};
    if (epoll_ctl(epoll, operation, fd, &event) != 0) {
        die("epoll_ctl");
    }
}

static void serve(int epoll, struct session *session)
{
    bool wrote = session_wants_write(session);
    if (!session_run(session)) {
        session_close(&session); /* which takes it out of epoll as well */
    } else if (wrote != session_wants_write(session)) {
        watch(epoll, session->fd, EPOLL_CTL_MOD, session);
    }
}

static void accept_all(int epoll, int listener, SSL_CTX *context)
{
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct session *session = session_open(fd, context, &ledger);
        if (session == NULL) {
            die("memory");
        }
        watch(epoll, fd, EPOLL_CTL_ADD, session);
        serve(epoll, session);
    }
    if (errno != EAGAIN && errno != ECONNABORTED) {
        die("accept");
    }
}

static void obey(void)
{
    char line[128];
    ssize_t got = read(STDIN_FILENO, line, sizeof line - 1);
    if (got <= 0) {
        exit(EXIT_SUCCESS);
    }
    line[got] = '\0';
    if (strncmp(line, "expect ", 7) == 0) {
        ledger_expect(&ledger, strtoull(line + 7, NULL, 10));
        printf("ready\n");
        fflush(stdout);
    } else if (strncmp(line, "report", 6) == 0) {
        ledger_print(&ledger);
    } else {
        fprintf(stderr, "unknown: %s", line);
        exit(64);
    }
}

static int listen_on(const char *port)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 1024) != 0) {
        die("listen");
    }
    return fd;
}

static SSL_CTX *load(const char *certificate, const char *key)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL || SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
        fprintf(stderr, "cannot use %s with %s\n", certificate, key);
        exit(EXIT_FAILURE);
    }
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return context;
}

int main(int argc, char **argv)
{
    if (argc != 2 && argc != 4) {
        fprintf(stderr, "usage: sternpost-sink PORT [CERTIFICATE KEY]\n");
        return 64;
    }
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without asking for an error instead */
    SSL_CTX *context = argc == 4 ? load(argv[2], argv[3]) : NULL;
    int listener = listen_on(argv[1]), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[EVENTS], control = {.events = EPOLLIN, .data.ptr = &ledger};
    ledger_expect(&ledger, 0);
    watch(epoll, listener, EPOLL_CTL_ADD, NULL);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &control) != 0) {
        die("standard input must be a pipe");
    }
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL) {
                accept_all(epoll, listener, context);
            } else if (events[i].data.ptr == &ledger) {
                obey();
            } else {
                serve(epoll, events[i].data.ptr);
            }
        }
    }
}
