/* Keeps a journal of what a process has made durable: preloaded into it, so that a test can afterwards take away
 * from its files everything that no fsync had covered, as a loss of power does.
 *
 *   C path            a file was created (or emptied)
 *   S length path     a file was synced at this length
 *   D path            a folder was synced
 *   R saved old new   a rename; what it replaced is kept under the journal's name and this number, 0 for nothing
 *   U path            a file was removed
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int journal = -2;
static unsigned saved = 0;

static int (*real_open)(const char *, int, ...);
static int (*real_rename)(const char *, const char *);

static void note(const char *format, ...) {
    char line[3 * PATH_MAX];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (journal == -2) {
        if (!real_open) real_open = dlsym(RTLD_NEXT, "open");
        const char *path = getenv("POWER_LOSS_JOURNAL");
        journal = path ? real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    }
    if (journal >= 0 && length > 0 && write(journal, line, (size_t)length) != length) abort();
}

static int watched(const char *path) {
    const char *folder = getenv("POWER_LOSS_FOLDER");
    return folder && strncmp(path, folder, strlen(folder)) == 0;
}

static void created(const char *path, int flags, int existed, int fd) {
    if (fd < 0 || !watched(path) || !(flags & (O_CREAT | O_TRUNC))) return;
    if (existed && !(flags & O_TRUNC)) return;
    pthread_mutex_lock(&lock);
    note("C %s\n", path);
    pthread_mutex_unlock(&lock);
}

#define OPEN(name)                                                                  \
    int name(const char *path, int flags, ...) {                                    \
        static int (*real)(const char *, int, ...);                                 \
        if (!real) real = dlsym(RTLD_NEXT, #name);                                  \
        mode_t mode = 0;                                                            \
        if (flags & (O_CREAT | O_TMPFILE)) {                                        \
            va_list arguments;                                                      \
            va_start(arguments, flags);                                             \
            mode = va_arg(arguments, mode_t);                                       \
            va_end(arguments);                                                      \
        }                                                                           \
        int existed = access(path, F_OK) == 0;                                      \
        int fd = real(path, flags, mode);                                           \
        int error = errno;                                                          \
        created(path, flags, existed, fd);                                          \
        errno = error;                                                              \
        return fd;                                                                  \
    }

OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                \
    int name(int folder, const char *path, int flags, ...) {                        \
        static int (*real)(int, const char *, int, ...);                            \
        if (!real) real = dlsym(RTLD_NEXT, #name);                                  \
        mode_t mode = 0;                                                            \
        if (flags & (O_CREAT | O_TMPFILE)) {                                        \
            va_list arguments;                                                      \
            va_start(arguments, flags);                                             \
            mode = va_arg(arguments, mode_t);                                       \
            va_end(arguments);                                                      \
        }                                                                           \
        int existed = path[0] == '/' && access(path, F_OK) == 0;                    \
        int fd = real(folder, path, flags, mode);                                   \
        int error = errno;                                                          \
        if (path[0] == '/') created(path, flags, existed, fd);                      \
        errno = error;                                                              \
        return fd;                                                                  \
    }

OPENAT(openat)
OPENAT(openat64)

static int synced(int fd, int (*real)(int)) {
    char link[64], path[PATH_MAX];
    struct stat before;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    /* The length before the sync: what is written meanwhile may or may not be covered. */
    int known = fstat(fd, &before) == 0 && length > 0;
    int result = real(fd);
    int error = errno;
    if (known && result == 0) {
        path[length] = 0;
        if (watched(path)) {
            pthread_mutex_lock(&lock);
            if (S_ISDIR(before.st_mode)) note("D %s\n", path);
            else note("S %lld %s\n", (long long)before.st_size, path);
            pthread_mutex_unlock(&lock);
        }
    }
    errno = error;
    return result;
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    return synced(fd, real);
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
    return synced(fd, real);
}

int rename(const char *old, const char *new) {
    if (!real_rename) real_rename = dlsym(RTLD_NEXT, "rename");
    if (!watched(new)) return real_rename(old, new);
    pthread_mutex_lock(&lock);
    unsigned number = 0;
    if (access(new, F_OK) == 0) {
        char keep[PATH_MAX];
        snprintf(keep, sizeof keep, "%s.%d.%u", getenv("POWER_LOSS_JOURNAL"), (int)getpid(), saved + 1);
        if (link(new, keep) == 0) number = ++saved;
    }
    int result = real_rename(old, new);
    int error = errno;
    if (result == 0) note("R %d.%u %s %s\n", (int)getpid(), number, old, new);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int unlink(const char *path) {
    static int (*real)(const char *);
    if (!real) real = dlsym(RTLD_NEXT, "unlink");
    int result = real(path);
    int error = errno;
    if (result == 0 && watched(path)) {
        pthread_mutex_lock(&lock);
        note("U %s\n", path);
        pthread_mutex_unlock(&lock);
    }
    errno = error;
    return result;
}
