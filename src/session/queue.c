// The queue between the job thread and the screen: deep copies of events under a mutex, and a pipe whose read end is
// readable while something waits, so that the screen can poll it beside the keyboard.
#include "session/session.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { QUEUE_SOFT_LIMIT = 4096 }; // beyond this many items progress and log events give way

typedef struct queue_node {
    struct queue_node *next;
    session_item item;
} queue_node;

struct session_queue {
    pthread_mutex_t lock;
    queue_node *head, *tail;
    size_t length;
    int64_t dropped;
    int pipe[2];
    bool signalled; // one byte is in the pipe
};

session_queue *session_queue_new(base_err *err) {
    session_queue *q = base_alloc(sizeof *q);
    if (pipe(q->pipe) != 0) {
        base_fail(err, "cannot make the event pipe: %s", strerror(errno));
        free(q);
        return NULL;
    }
    for (int i = 0; i < 2; i++) {
        fcntl(q->pipe[i], F_SETFL, O_NONBLOCK);
        fcntl(q->pipe[i], F_SETFD, FD_CLOEXEC);
    }
    pthread_mutex_init(&q->lock, NULL);
    return q;
}

static void node_free(queue_node *n) {
    free(n->item.text);
    free(n->item.hash);
    free(n);
}

void session_queue_free(session_queue *q) {
    if (!q) return;
    while (q->head) {
        queue_node *next = q->head->next;
        node_free(q->head);
        q->head = next;
    }
    close(q->pipe[0]);
    close(q->pipe[1]);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

// Only these may be merged or dropped when the screen does not keep up.
static bool is_expendable(base_event_kind kind) {
    return kind == BASE_EV_PROGRESS || kind == BASE_EV_TRAIN || kind == BASE_EV_LOG;
}

static void fill(session_item *item, const base_event *e) {
    item->event = *e;
    item->text = base_strdup(e->text);
    item->hash = base_strdup(e->hash);
    item->event.text = item->text;
    item->event.hash = item->hash;
    if (e->layer) item->layer = *e->layer;
    if (e->model) item->model = *e->model;
    if (e->param) item->param = *e->param;
    item->event.layer = e->layer ? &item->layer : NULL;
    item->event.model = e->model ? &item->model : NULL;
    item->event.param = e->param ? &item->param : NULL;
}

// Drop the oldest expendable item; keeps at least the newest one of each kind because newer ones are behind it.
static void drop_one(session_queue *q) {
    queue_node **at = &q->head;
    queue_node *previous = NULL;
    while (*at && !is_expendable((*at)->item.event.kind)) {
        previous = *at;
        at = &(*at)->next;
    }
    if (!*at) return;
    queue_node *gone = *at;
    *at = gone->next;
    if (q->tail == gone) q->tail = previous;
    node_free(gone);
    q->length--;
    q->dropped++;
}

void session_queue_push(void *queue, const base_event *event) {
    session_queue *q = queue;
    pthread_mutex_lock(&q->lock);
    // Progress of the phase that is already last in line replaces it: the screen wants only the newest.
    bool merged = event->kind == BASE_EV_PROGRESS && q->tail && q->tail->item.event.kind == BASE_EV_PROGRESS;
    if (merged) {
        free(q->tail->item.text);
        free(q->tail->item.hash);
        fill(&q->tail->item, event);
    } else {
        if (q->length >= QUEUE_SOFT_LIMIT) drop_one(q);
        queue_node *n = base_alloc(sizeof *n);
        fill(&n->item, event);
        if (q->tail)
            q->tail->next = n;
        else
            q->head = n;
        q->tail = n;
        q->length++;
    }
    if (!q->signalled) {
        q->signalled = write(q->pipe[1], "e", 1) == 1;
    }
    pthread_mutex_unlock(&q->lock);
}

session_item *session_queue_pop(session_queue *q) {
    pthread_mutex_lock(&q->lock);
    queue_node *n = q->head;
    if (n) {
        q->head = n->next;
        if (!q->head) q->tail = NULL;
        q->length--;
    }
    if (!q->head && q->signalled) {
        char byte;
        if (read(q->pipe[0], &byte, 1) == 1) q->signalled = false;
    }
    pthread_mutex_unlock(&q->lock);
    return n ? &n->item : NULL;
}

void session_item_free(session_item *item) {
    if (!item) return;
    node_free((queue_node *)((char *)item - offsetof(queue_node, item)));
}

int session_queue_fd(const session_queue *q) {
    return q->pipe[0];
}
int64_t session_queue_dropped(const session_queue *q) {
    session_queue *w = (session_queue *)q;
    pthread_mutex_lock(&w->lock);
    int64_t dropped = q->dropped;
    pthread_mutex_unlock(&w->lock);
    return dropped;
}
