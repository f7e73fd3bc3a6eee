/* Preloaded into control nodes: moves their wall clock, slows their disk's syncs, or lets those fail, or kills them at a
 * chosen call. What to do is in a small file that the runner writes and this maps (TRIREME_CHAOS_PAGE); all zero, it does nothing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct page {
    volatile int64_t clock_offset_ns;
    volatile int32_t sync_delay_ms;
    volatile int32_t sync_errno;
    /* Dies at the n-th call of a kind: 1 sync, 2 rename, 3 unlink; before it, or after it when `kill_after` is set. */
    volatile int32_t kill_kind;
    volatile int32_t kill_at;
    volatile int32_t kill_after;
    volatile int32_t unused;
};

static struct page none;
static struct page *page = &none;
static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);

__attribute__((constructor)) static void start(void) {
    real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_rename = dlsym(RTLD_NEXT, "rename");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    const char *path = getenv("TRIREME_CHAOS_PAGE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof(struct page), PROT_READ, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) page = mapped;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    if (!real_clock_gettime) real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real_clock_gettime(clock, time);
    int64_t offset = page->clock_offset_ns;
    if (result == 0 && offset != 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t all = (int64_t)time->tv_sec * 1000000000 + time->tv_nsec + offset;
        time->tv_sec = all / 1000000000;
        time->tv_nsec = all % 1000000000;
    }
    return result;
}

/* Calls of the kind at which it is to die. */
static int calls;

static int is_last(int kind) {
    return page->kill_kind == kind && __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) == page->kill_at;
}

static void die(void) {
    kill(getpid(), SIGKILL);
}

/* True if the sync is to fail. */
static int disturbed(void) {
    int32_t delay = page->sync_delay_ms;
    if (delay > 0) usleep((useconds_t)delay * 1000);
    if (page->sync_errno == 0) return 0;
    errno = page->sync_errno;
    return 1;
}

int fsync(int file) {
    int last = is_last(1);
    if (last && !page->kill_after) die();
    int result = disturbed() ? -1 : real_fsync(file);
    if (last) die();
    return result;
}

int fdatasync(int file) {
    int last = is_last(1);
    if (last && !page->kill_after) die();
    int result = disturbed() ? -1 : real_fdatasync(file);
    if (last) die();
    return result;
}

int rename(const char *from, const char *to) {
    int last = is_last(2);
    if (last && !page->kill_after) die();
    int result = real_rename(from, to);
    if (last) die();
    return result;
}

int unlink(const char *path) {
    int last = is_last(3);
    if (last && !page->kill_after) die();
    int result = real_unlink(path);
    if (last) die();
    return result;
}
