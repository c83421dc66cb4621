/* Operating errors: what the machine, not a peer, did wrong. Every function that returns one must have it checked.
 * What a peer decided is a value of its own (struct outcome); a programmer's error is an assert. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define ERR_LIST(X)                                                                                                    \
    X(NONE, "no error")                                                                                                \
    X(MEMORY, "out of memory")                                                                                         \
    X(LIMIT, "a limit was reached")                                                                                    \
    X(SYNTAX, "syntax error")                                                                                          \
    X(NOT_FOUND, "not found")                                                                                          \
    X(EXISTS, "already exists")                                                                                        \
    X(PERMISSION, "permission denied")                                                                                 \
    X(IN_USE, "in use")                                                                                                \
    X(FULL, "no space left")                                                                                           \
    X(IO, "input/output error")                                                                                        \
    X(CORRUPT, "a stored record is damaged")                                                                           \
    X(TIMEOUT, "timed out")                                                                                            \
    X(REFUSED, "connection refused")                                                                                   \
    X(UNREACHABLE, "unreachable")                                                                                      \
    X(RESET, "connection reset")                                                                                       \
    X(END, "end of data")                                                                                              \
    X(CANCELLED, "cancelled")                                                                                          \
    X(UNSUPPORTED, "not supported")

enum err {
#define X(name, text) ERR_##name,
    ERR_LIST(X)
#undef X
};

#define MUST_CHECK __attribute__((warn_unused_result))

/* A short English text, static. */
const char *err_text(enum err err);

/* The nearest enum err to an errno value. */
enum err err_from_errno(int number);

#endif
