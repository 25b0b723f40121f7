// mem: small objects that always succeed or stop the program, and big ones that are counted and may be refused.
#include "base/base.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

// Under a sanitizer every block goes through malloc, so that overruns and leaks are seen.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BIG_MAP_FROM SIZE_MAX
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define BIG_MAP_FROM SIZE_MAX
#endif
#endif
#ifndef BIG_MAP_FROM
#define BIG_MAP_FROM ((size_t)1 << 20) // from here the kernel's own zero pages are cheaper than clearing
#endif

#define BIG_MAGIC 0x56495345B16A110CULL
#define BIG_ALIGN 64

typedef struct big_head {
    uint64_t magic;
    size_t bytes;  // as asked for
    size_t mapped; // length of the mapping; 0: from malloc
} big_head;
_Static_assert(sizeof(big_head) <= BIG_ALIGN, "the head sits in the 64 bytes before the data");

static atomic_size_t big_now, big_peak;

static _Noreturn void out_of_memory(void) {
    base_bug("memory", 0, "out of memory for a small object");
}

bool base_mul(size_t a, size_t b, size_t *product) {
    return !__builtin_mul_overflow(a, b, product);
}

void *base_alloc(size_t bytes) {
    return base_calloc(1, bytes);
}

void *base_calloc(size_t count, size_t size) {
    size_t bytes;
    if (!base_mul(count, size, &bytes)) out_of_memory();
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p) out_of_memory();
    return p;
}

void *base_realloc(void *p, size_t count, size_t size) {
    size_t bytes;
    if (!base_mul(count, size, &bytes)) out_of_memory();
    void *q = realloc(p, bytes ? bytes : 1);
    if (!q) out_of_memory();
    return q;
}

char *base_strdup(const char *s) {
    return s ? base_strndup(s, strlen(s)) : NULL;
}

char *base_strndup(const char *s, size_t n) {
    n = strnlen(s, n);
    char *copy = base_alloc(n + 1);
    memcpy(copy, s, n);
    return copy;
}

char *base_sprintf(const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    BASE_CHECK(n >= 0);
    char *text = base_alloc((size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return text;
}

static size_t physical_bytes(void) {
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (size_t)pages * (size_t)page : SIZE_MAX;
}

// Mappings that were freed and wait for their next use. The kernel clears fresh pages several times slower than memset
// clears old ones, and a layer asks for what the layer before it gave back.
enum { SPARE_MOST = 16 };
static const size_t most_spare_bytes = (size_t)512 << 20;
static struct {
    pthread_mutex_t lock;
    void *block[SPARE_MOST]; // the longest kept is first
    size_t mapped[SPARE_MOST], total;
    int count;
} spare = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void spare_remove(int i) {
    spare.total -= spare.mapped[i];
    spare.count--;
    memmove(spare.block + i, spare.block + i + 1, (size_t)(spare.count - i) * sizeof *spare.block);
    memmove(spare.mapped + i, spare.mapped + i + 1, (size_t)(spare.count - i) * sizeof *spare.mapped);
}

static void put_block(void *block, size_t mapped) {
    size_t spare_bytes = physical_bytes() / 16 < most_spare_bytes ? physical_bytes() / 16 : most_spare_bytes;
    if (mapped > spare_bytes) {
        munmap(block, mapped);
        return;
    }
    pthread_mutex_lock(&spare.lock);
    while (spare.count == SPARE_MOST || spare.total + mapped > spare_bytes) {
        munmap(spare.block[0], spare.mapped[0]);
        spare_remove(0);
    }
    spare.block[spare.count] = block;
    spare.mapped[spare.count++] = mapped;
    spare.total += mapped;
    pthread_mutex_unlock(&spare.lock);
}

// The smallest that holds `whole` bytes and is at most twice as long.
static void *take_block(size_t whole, size_t *mapped) {
    int best = -1;
    void *block = NULL;
    pthread_mutex_lock(&spare.lock);
    for (int i = 0; i < spare.count; i++)
        if (spare.mapped[i] >= whole && spare.mapped[i] - whole <= whole &&
            (best < 0 || spare.mapped[i] < spare.mapped[best]))
            best = i;
    if (best >= 0) {
        block = spare.block[best];
        *mapped = spare.mapped[best];
        spare_remove(best);
    }
    pthread_mutex_unlock(&spare.lock);
    return block;
}

static void *get_block(size_t whole, bool clear, size_t *mapped) {
    *mapped = 0;
    if (whole < BIG_MAP_FROM) {
        void *p = NULL;
        if (posix_memalign(&p, BIG_ALIGN, whole) != 0) return NULL;
        if (clear) memset(p, 0, whole);
        return p;
    }
    void *p = take_block(whole, mapped);
    if (p && clear) memset(p, 0, whole);
    if (p) return p;
    p = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
#ifdef MADV_HUGEPAGE
    if (whole >= (size_t)8 << 20) madvise(p, whole, MADV_HUGEPAGE);
#endif
    *mapped = whole;
    return p;
}

static void *big_alloc(size_t count, size_t size, bool clear, const char *what, base_err *err) {
    size_t bytes;
    if (!base_mul(count, size, &bytes) || bytes > SIZE_MAX / 2) {
        base_fail(err, "%s needs %zu x %zu bytes, more than can be addressed", what, count, size);
        return NULL;
    }
    char text[24];
    // An overcommitting kernel would grant this and kill the program later.
    if (bytes > physical_bytes()) {
        char have[24];
        base_fail(err, "%s needs %s of memory, this machine has %s", what, base_bytes_text(text, (double)bytes),
                  base_bytes_text(have, (double)physical_bytes()));
        return NULL;
    }
    size_t mapped;
    uint8_t *block = get_block(bytes + BIG_ALIGN, clear, &mapped);
    if (!block) {
        base_fail(err, "out of memory: %s needs %s", what, base_bytes_text(text, (double)bytes));
        return NULL;
    }
    *(big_head *)(void *)block = (big_head){BIG_MAGIC, bytes, mapped};
    size_t now = atomic_fetch_add(&big_now, bytes) + bytes, peak = atomic_load(&big_peak);
    while (now > peak && !atomic_compare_exchange_weak(&big_peak, &peak, now)) {}
    return block + BIG_ALIGN;
}

void *base_big_alloc(size_t count, size_t size, const char *what, base_err *err) {
    return big_alloc(count, size, true, what, err);
}

void *base_big_room(size_t count, size_t size, const char *what, base_err *err) {
    return big_alloc(count, size, false, what, err);
}

void base_big_free(void *p) {
    if (!p) return;
    uint8_t *block = (uint8_t *)p - BIG_ALIGN;
    big_head *head = (big_head *)(void *)block;
    BASE_CHECK(head->magic == BIG_MAGIC);
    head->magic = 0;
    atomic_fetch_sub(&big_now, head->bytes);
    if (head->mapped)
        put_block(block, head->mapped);
    else
        free(block);
}

size_t base_big_now(void) {
    return atomic_load(&big_now);
}
size_t base_big_peak(void) {
    return atomic_load(&big_peak);
}
void base_big_peak_reset(void) {
    atomic_store(&big_peak, atomic_load(&big_now));
}

size_t base_rss_peak(void) {
    struct rusage use;
    if (getrusage(RUSAGE_SELF, &use) != 0) return 0;
#ifdef __APPLE__
    return (size_t)use.ru_maxrss;
#else
    return (size_t)use.ru_maxrss * 1024;
#endif
}
