// Layers of the newest run as the job thread made them: copies under a lock, shared with tasks that look at them.
#include <stdlib.h>
#include <string.h>

#include "ui/look.h"

void look_store_init(look_store *s) {
    *s = (look_store){0};
    pthread_mutex_init(&s->lock, NULL);
}

static void kept_free(look_kept *k) {
    free(k->before);
    free(k->after);
    for (int i = 0; i < k->code_count; i++) free((void *)(uintptr_t)k->codes[i].use);
    free(k);
}

static size_t bytes_of(const look_kept *k) {
    return (size_t)(k->rows * k->cols) * 2 * sizeof(float);
}

// With the lock held; the last holder frees.
static void let_go(look_store *s, look_kept *k) {
    if (--k->holders) return;
    s->bytes -= bytes_of(k);
    kept_free(k);
}

void look_store_clear(look_store *s) {
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->count; i++) let_go(s, s->kept[i]);
    s->count = 0;
    s->left_out = 0;
    pthread_mutex_unlock(&s->lock);
}

void look_store_free(look_store *s) {
    look_store_clear(s);
    free(s->kept);
    pthread_mutex_destroy(&s->lock);
}

static look_kept *copy_of(const compress_made *m) {
    size_t n = (size_t)(m->rows * m->cols);
    look_kept *k = base_calloc(1, sizeof *k);
    k->rows = m->rows;
    k->cols = m->cols;
    k->holders = 1;
    snprintf(k->layer, sizeof k->layer, "%s", m->layer);
    // Not by base_big_alloc: the run's figure of memory is about the run.
    k->before = malloc(n * sizeof(float) + 1);
    k->after = malloc(n * sizeof(float) + 1);
    if (!k->before || !k->after) { // looking is worth less than the run
        kept_free(k);
        return NULL;
    }
    memcpy(k->before, m->before, n * sizeof(float));
    memcpy(k->after, m->after, n * sizeof(float));
    for (int i = 0; i < m->code_count; i++) {
        size_t symbols = (size_t)1 << m->codes[i].bits;
        int64_t *use = base_calloc(symbols, sizeof *use);
        memcpy(use, m->codes[i].use, symbols * sizeof *use);
        k->codes[i] = m->codes[i];
        k->codes[i].use = use;
        k->code_count++;
    }
    return k;
}

static int index_of(const look_store *s, const char *layer) {
    for (int i = 0; i < s->count; i++)
        if (strcmp(s->kept[i]->layer, layer) == 0) return i;
    return -1;
}

void look_store_made(void *store, const compress_made *m) {
    look_store *s = store;
    size_t bytes = (size_t)(m->rows * m->cols) * 2 * sizeof(float);
    pthread_mutex_lock(&s->lock);
    int at = index_of(s, m->layer);
    if (at >= 0) { // made a second time
        let_go(s, s->kept[at]);
        s->kept[at] = s->kept[--s->count];
    }
    bool room = s->bytes + bytes <= LOOK_STORE_BYTES;
    if (room) s->bytes += bytes;
    pthread_mutex_unlock(&s->lock);
    look_kept *k = room ? copy_of(m) : NULL; // without the lock: the screen asks for stamps
    pthread_mutex_lock(&s->lock);
    if (!k) {
        s->bytes -= room ? bytes : 0;
        s->left_out++;
    } else {
        if (s->count == s->capacity) {
            s->capacity = s->capacity ? 2 * s->capacity : 64;
            s->kept = base_realloc(s->kept, (size_t)s->capacity, sizeof *s->kept);
        }
        k->stamp = ++s->stamps;
        s->kept[s->count++] = k;
    }
    pthread_mutex_unlock(&s->lock);
}

look_kept *look_store_hold(look_store *s, const char *layer) {
    pthread_mutex_lock(&s->lock);
    int at = index_of(s, layer);
    look_kept *k = at >= 0 ? s->kept[at] : NULL;
    if (k) k->holders++;
    pthread_mutex_unlock(&s->lock);
    return k;
}

void look_store_release(look_store *s, look_kept *k) {
    if (!k) return;
    pthread_mutex_lock(&s->lock);
    let_go(s, k);
    pthread_mutex_unlock(&s->lock);
}

int64_t look_store_stamp(look_store *s, const char *layer) {
    pthread_mutex_lock(&s->lock);
    int at = index_of(s, layer);
    int64_t stamp = at >= 0 ? s->kept[at]->stamp : 0;
    pthread_mutex_unlock(&s->lock);
    return stamp;
}
