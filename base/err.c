#include "base/err.h"

#include <errno.h>

const char *err_text(enum err err)
{
    switch (err) {
#define X(name, text)                                                                                                  \
    case ERR_##name:                                                                                                   \
        return text;
        ERR_LIST(X)
#undef X
    }
    return "unknown error";
}

enum err err_from_errno(int number)
{
    switch (number) {
        case 0:
            return ERR_NONE;
        case ENOMEM:
            return ERR_MEMORY;
        case EMFILE:
        case ENFILE:
        case EMSGSIZE:
        case ENAMETOOLONG:
            return ERR_LIMIT;
        case ENOENT:
        case ENOTDIR:
        case ENXIO:
            return ERR_NOT_FOUND;
        case EEXIST:
            return ERR_EXISTS;
        case EACCES:
        case EPERM:
        case EROFS:
            return ERR_PERMISSION;
        case EADDRINUSE:
        case EBUSY:
        case EAGAIN:
            return ERR_IN_USE;
        case ENOSPC:
        case EDQUOT:
            return ERR_FULL;
        case ETIMEDOUT:
            return ERR_TIMEOUT;
        case ECONNREFUSED:
            return ERR_REFUSED;
        case EHOSTUNREACH:
        case ENETUNREACH:
        case ENETDOWN:
        case EHOSTDOWN:
        case EADDRNOTAVAIL:
            return ERR_UNREACHABLE;
        case ECONNRESET:
        case ECONNABORTED:
        case EPIPE:
            return ERR_RESET;
        case ECANCELED:
            return ERR_CANCELLED;
        case ENOSYS:
        case EOPNOTSUPP:
        case EAFNOSUPPORT:
        case EPROTONOSUPPORT:
            return ERR_UNSUPPORTED;
        default:
            return ERR_IO;
    }
}
