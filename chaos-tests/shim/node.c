/* Preloaded into control nodes: moves their wall clock, slows their disk's syncs, or lets those fail. What to do is in a small
 * file that the runner writes and this maps (TRIREME_CHAOS_PAGE); all zero, it does nothing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct page {
    volatile int64_t clock_offset_ns;
    volatile int32_t sync_delay_ms;
    volatile int32_t sync_errno;
};

static struct page none;
static struct page *page = &none;
static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void start(void) {
    real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
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

/* True if the sync is to fail. */
static int disturbed(void) {
    int32_t delay = page->sync_delay_ms;
    if (delay > 0) usleep((useconds_t)delay * 1000);
    if (page->sync_errno == 0) return 0;
    errno = page->sync_errno;
    return 1;
}

int fsync(int file) {
    return disturbed() ? -1 : real_fsync(file);
}

int fdatasync(int file) {
    return disturbed() ? -1 : real_fdatasync(file);
}
