// map: files mapped read-only, that survive being cut short by somebody else.
//
// Touching a page behind the new end of a shrunken file raises SIGBUS. The handler below looks the address up in a
// table of live maps, puts zero pages over the rest of that map, marks it, and returns; base_map_intact reports it.
// The table is made of atomics only, so that the handler may read it at any moment. Faults outside our maps go to
// whoever held the signal before.
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAP_SLOTS 1024

typedef struct map_slot {
    atomic_bool used;
    atomic_uintptr_t from, to; // to = 0: not live
    atomic_bool lost;          // zero pages stand in for missing ones
    int fd;
    struct stat opened; // as it was
} map_slot;

static map_slot slots[MAP_SLOTS];
static struct sigaction before;
static atomic_flag installing = ATOMIC_FLAG_INIT;
static atomic_uintptr_t page_bytes;

static bool cover_with_zeros(uintptr_t address) {
    uintptr_t page = atomic_load(&page_bytes);
    for (int i = 0; i < MAP_SLOTS; i++) {
        uintptr_t from = atomic_load(&slots[i].from), to = atomic_load(&slots[i].to);
        if (address < from || address >= to) continue;
        uintptr_t start = address & ~(page - 1);
        void *got = mmap((void *)start, to - start, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        atomic_store(&slots[i].lost, true);
        return got != MAP_FAILED;
    }
    return false;
}

static void on_sigbus(int number, siginfo_t *info, void *context) {
    int saved = errno;
    bool mended = cover_with_zeros((uintptr_t)info->si_addr);
    errno = saved;
    if (mended) return;
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(number, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(number);
    } else {
        signal(SIGBUS, SIG_DFL); // the faulting instruction runs again and ends the program
    }
}

// Somebody (a crash handler, a test library) may have taken the signal since the last map was opened.
static void hold_sigbus(void) {
    while (atomic_flag_test_and_set(&installing)) {}
    struct sigaction now;
    if (sigaction(SIGBUS, NULL, &now) == 0 && !((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_sigbus)) {
        before = now;
        struct sigaction ours = {.sa_flags = SA_SIGINFO | SA_ONSTACK};
        ours.sa_sigaction = on_sigbus;
        sigemptyset(&ours.sa_mask);
        sigaction(SIGBUS, &ours, NULL);
    }
    atomic_store(&page_bytes, (uintptr_t)sysconf(_SC_PAGESIZE));
    atomic_flag_clear(&installing);
}

static int claim_slot(void) {
    for (int i = 0; i < MAP_SLOTS; i++) {
        bool expected = false;
        if (atomic_compare_exchange_strong(&slots[i].used, &expected, true)) return i;
    }
    return -1;
}

static bool map_fd(base_map *map, int fd, const struct stat *st, base_err *err) {
    static const uint8_t nothing[1] = {0};
    *map = (base_map){.data = nothing};
    int slot = claim_slot();
    if (slot < 0) return base_fail(err, "more than %d files mapped at once", MAP_SLOTS);
    map_slot *s = &slots[slot];
    size_t bytes = (size_t)st->st_size;
    s->fd = fd;
    s->opened = *st;
    atomic_store(&s->lost, false);
    if (bytes > 0) {
        hold_sigbus();
        void *p = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            int failed = errno;
            atomic_store(&s->used, false);
            return base_fail(err, "cannot be mapped: %s", strerror(failed));
        }
        map->data = p;
        atomic_store(&s->from, (uintptr_t)p);
        atomic_store(&s->to, (uintptr_t)p + bytes);
    }
    map->bytes = bytes;
    map->slot = slot + 1; // so that a zeroed map is a closed one
    return true;
}

bool base_map_open(base_map *map, const char *path, base_err *err) {
    *map = (base_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO without a writer must not hang us
    if (fd < 0) return base_fail(err, "%s: %s", path, strerror(errno));
    struct stat st;
    if (fstat(fd, &st) != 0) {
        base_fail(err, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        base_fail(err, "%s is %s, expected a file", path, S_ISDIR(st.st_mode) ? "a folder" : "not a regular file");
    } else if (map_fd(map, fd, &st, err)) {
        map->path = base_strdup(path);
        return true;
    } else {
        base_wrap(err, "%s: ", path);
    }
    close(fd);
    *map = (base_map){0};
    return false;
}

bool base_map_intact(const base_map *map, base_err *err) {
    if (map->slot == 0) return true;
    const map_slot *s = &slots[map->slot - 1];
    struct stat st;
    if (fstat(s->fd, &st) != 0) return base_fail(err, "%s: %s", map->path, strerror(errno));
    if (atomic_load(&s->lost) || st.st_size < s->opened.st_size)
        return base_fail(err, "%s was cut from %zu to %lld bytes while it was being read", map->path, map->bytes,
                         (long long)st.st_size);
#ifdef __APPLE__
    bool same = st.st_mtimespec.tv_sec == s->opened.st_mtimespec.tv_sec &&
                st.st_mtimespec.tv_nsec == s->opened.st_mtimespec.tv_nsec;
#else
    bool same = st.st_mtim.tv_sec == s->opened.st_mtim.tv_sec && st.st_mtim.tv_nsec == s->opened.st_mtim.tv_nsec;
#endif
    if (!same || st.st_size != s->opened.st_size)
        return base_fail(err, "%s was changed while it was being read", map->path);
    return true;
}

void base_map_close(base_map *map) {
    if (map->slot > 0) {
        map_slot *s = &slots[map->slot - 1];
        atomic_store(&s->to, 0);
        atomic_store(&s->from, 0);
        if (map->bytes > 0) munmap((void *)(uintptr_t)map->data, map->bytes);
        close(s->fd);
        atomic_store(&s->used, false);
    }
    free(map->path);
    *map = (base_map){0};
}
