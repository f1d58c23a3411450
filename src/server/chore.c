// SPDX-License-Identifier: MIT
// A chore belongs to its request, which frees it; its thread holds a reference to the request. So whoever is
// told that the client left finds the chore alive.
#include "server/chore.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "json/writer.h"
#include "server/reply.h"

enum { MAX_CHORES = 64, MAX_LINE_BYTES = 64 << 10 };

struct chores {
    pthread_mutex_t lock;
    pthread_cond_t has_ended;
    struct chore *first;
    size_t n;
    bool is_closed;
};

struct chores *chores_new(void)
{
    struct chores *c = xcalloc(1, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->has_ended, NULL);
    return c;
}

size_t chores_count(struct chores *c)
{
    pthread_mutex_lock(&c->lock);
    size_t n = c->n;
    pthread_mutex_unlock(&c->lock);
    return n;
}

void chores_cancel_all(struct chores *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->is_closed = true;
    for (struct chore *x = c->first; x; x = x->next)
        __atomic_store_n(&x->is_cancelled, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&c->lock);
}

void chores_free(struct chores *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    while (c->n > 0)
        pthread_cond_wait(&c->has_ended, &c->lock);
    pthread_mutex_unlock(&c->lock);
    pthread_cond_destroy(&c->has_ended);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static bool enter(struct chores *c, struct chore *chore)
{
    pthread_mutex_lock(&c->lock);
    bool is_in = !c->is_closed && c->n < MAX_CHORES;
    if (is_in) {
        chore->next = c->first;
        c->first = chore;
        c->n++;
    }
    pthread_mutex_unlock(&c->lock);
    return is_in;
}

static void leave(struct chores *c, struct chore *chore)
{
    pthread_mutex_lock(&c->lock);
    struct chore **at = &c->first;
    while (*at != chore)
        at = &(*at)->next;
    *at = chore->next;
    pthread_mutex_unlock(&c->lock);
}

// After this the server may be freed.
static void count_down(struct chores *c)
{
    pthread_mutex_lock(&c->lock);
    c->n--;
    pthread_cond_broadcast(&c->has_ended);
    pthread_mutex_unlock(&c->lock);
}

static void chore_free(void *user)
{
    struct chore *c = user;
    if (c->free_data)
        c->free_data(c->data);
    json_decref(c->body);
    free(c->last);
    free(c);
}

static void on_gone(void *user, struct http_request *r)
{
    struct chore *c = user;
    __atomic_store_n(&c->is_cancelled, 1, __ATOMIC_RELAXED);
}

struct start {
    struct chore *chore;
    chore_fn *run;
};

static void *thread_main(void *user)
{
    struct start start = *(struct start *)user;
    struct chores *all = start.chore->app->chores;
    free(user);
    start.run(start.chore);
    leave(all, start.chore);
    http_request_unref(start.chore->request); // may free the chore
    count_down(all);
    return NULL;
}

static void refuse(struct http_request *r)
{
    struct err err = {0};
    err_set(&err, ERR_BUSY, "server busy: too many pulls, pushes and creations run");
    http_add_header(r, "Retry-After", "5");
    reply_error(r, ERRORS_OLLAMA, &err, NULL);
}

void chore_start_with(struct app *app, struct http_request *r, chore_fn *run, void *data,
                      void (*free_data)(void *data))
{
    struct chore *c = xcalloc(1, sizeof *c);
    struct start *start = xmalloc(sizeof *start);
    pthread_attr_t attributes;
    pthread_t thread;
    *c = (struct chore){.app = app, .request = r, .data = data, .free_data = free_data};
    *start = (struct start){c, run};
    if (!enter(app->chores, c)) {
        refuse(r);
        http_request_set_user(r, c, chore_free);
        free(start);
        return;
    }
    http_request_ref(r);
    http_request_set_user(r, c, chore_free);
    http_request_on_gone(r, on_gone, c);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int rc = pthread_create(&thread, &attributes, thread_main, start);
    pthread_attr_destroy(&attributes);
    if (rc == 0)
        return;
    refuse(r);
    leave(app->chores, c);
    http_request_unref(r);
    count_down(app->chores);
    free(start);
}

void chore_start(struct app *app, struct http_request *r, chore_fn *run)
{
    chore_start_with(app, r, run, NULL, NULL);
}

// ---- Telling ----

bool chore_is_cancelled(const struct chore *c)
{
    return __atomic_load_n(&c->is_cancelled, __ATOMIC_RELAXED) != 0;
}

static void write_line(struct chore *c, struct strbuf *line)
{
    if (!c->has_begun)
        c->has_begun = http_stream_begin(c->request, 200, "application/x-ndjson");
    strbuf_push_char(line, '\n');
    if (!http_stream_write(c->request, strbuf_slice(line)))
        __atomic_store_n(&c->is_cancelled, 1, __ATOMIC_RELAXED); // gone, or too slow a reader
}

void chore_tell(struct chore *c, const struct chore_status *s)
{
    struct strbuf line = STRBUF_INIT(MAX_LINE_BYTES);
    struct json_writer w = json_writer_make(&line);
    json_begin_object(&w);
    json_member_text(&w, "status", s->status);
    if (s->digest)
        json_member_text(&w, "digest", s->digest);
    if (s->total)
        json_member_int(&w, "total", (int64_t)s->total);
    if (s->completed)
        json_member_int(&w, "completed", (int64_t)s->completed);
    json_end_object(&w);
    if (c->is_whole) {
        free(c->last);
        c->last = strbuf_take(&line);
    } else {
        write_line(c, &line);
    }
    strbuf_fini(&line);
}

void chore_say(struct chore *c, const char *format, ...)
{
    struct strbuf text = STRBUF_INIT(4096);
    va_list args;
    va_start(args, format);
    strbuf_vprintf(&text, format, args);
    va_end(args);
    chore_tell(c, &(struct chore_status){.status = strbuf_text(&text)});
    strbuf_fini(&text);
}

static void end_badly(struct chore *c, const struct err *err)
{
    struct strbuf line = STRBUF_INIT(MAX_LINE_BYTES);
    reply_write_error(&line, ERRORS_OLLAMA, err, NULL);
    if (c->has_begun)
        write_line(c, &line);
    else
        http_reply(c->request, err_http_status(err->code), "application/json", strbuf_slice(&line));
    strbuf_fini(&line);
}

void chore_end(struct chore *c, const struct err *err)
{
    if (err->code != ERR_NONE) {
        end_badly(c, err);
    } else {
        chore_say(c, "success");
        if (c->is_whole)
            http_reply(c->request, 200, "application/json", slice_of(c->last));
    }
    if (c->has_begun)
        http_stream_end(c->request);
}
