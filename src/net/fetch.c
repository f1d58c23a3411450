// SPDX-License-Identifier: MIT
// A table of streams over one curl multi handle; each works on one part at a time. A part that fails waits
// and is asked for again from where it was; a status that no patience heals ends all.
#include "net/fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "net/client_common.h"

enum { POLL_MS = 50, ERROR_BODY_BYTES = 1024, MAX_STALLS = 20, MAX_WAIT_S = 64, CONNECT_TIMEOUT_MS = 15000 };

struct fetching;

struct stream {
    struct fetching *all;
    size_t part_i;
    CURL *easy; // NULL: idle
    int64_t last_byte_ns;
    uint64_t done_before;              // of the part, when it was asked for
    bool is_wrong_size, is_whole_file; // what the answer turned out to be
    int write_error;
    char challenge[1024];
    uint64_t range_start, range_total; // of Content-Range
    struct strbuf error_body;
};

struct part_state {
    bool is_running;
    int n_tries, n_stalls;
    int64_t not_before_ns;
};

struct fetching {
    const struct fetch *f;
    struct fetch_end *end;
    CURLM *multi;
    struct curl_slist *headers;
    struct stream *streams;
    size_t n_streams;
    struct part_state *states;
    struct err *err;
    bool has_failed;
};

// ---- What arrives ----

static bool take_header(const char *line, size_t n, const char *name, char *out, size_t n_out)
{
    size_t n_name = strlen(name);
    if (n <= n_name || line[n_name] != ':' || strncasecmp(line, name, n_name) != 0)
        return false;
    const char *from = line + n_name + 1, *to = line + n;
    while (from < to && (*from == ' ' || *from == '\t'))
        from++;
    while (to > from && strchr(" \t\r\n", to[-1]) != NULL)
        to--;
    size_t length = MIN((size_t)(to - from), n_out - 1);
    memcpy(out, from, length);
    out[length] = 0;
    return true;
}

static size_t on_header(char *bytes, size_t one, size_t n, void *user)
{
    struct stream *s = user;
    char value[128];
    if (n >= 5 && memcmp(bytes, "HTTP/", 5) == 0) { // a new answer, after a redirect
        s->challenge[0] = 0;
        s->range_start = s->range_total = UINT64_MAX;
    }
    take_header(bytes, n, "WWW-Authenticate", s->challenge, sizeof s->challenge);
    if (take_header(bytes, n, "Content-Range", value, sizeof value)) {
        unsigned long long start, last, total;
        if (sscanf(value, "bytes %llu-%llu/%llu", &start, &last, &total) == 3) {
            s->range_start = start;
            s->range_total = total;
        }
    }
    return n;
}

static long status_of(struct stream *s)
{
    long status = 0;
    curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

// Whether the bytes of this answer are those of the part.
static bool is_right_answer(struct stream *s, long status)
{
    const struct fetch *f = s->all->f;
    const struct fetch_part *p = &f->parts[s->part_i];
    if (status == 200) {
        s->is_whole_file = p->offset + s->done_before > 0 || f->n_parts > 1;
        return !s->is_whole_file;
    }
    s->is_wrong_size = s->range_total != f->total_bytes || s->range_start != p->offset + s->done_before;
    return !s->is_wrong_size;
}

static bool write_at(struct stream *s, const char *bytes, size_t n)
{
    struct fetch_part *p = &s->all->f->parts[s->part_i];
    while (n > 0) {
        ssize_t w = pwrite(s->all->f->fd, bytes, n, (off_t)(p->offset + p->done_bytes));
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0) {
            s->write_error = errno;
            return false;
        }
        p->done_bytes += (uint64_t)w;
        bytes += w;
        n -= (size_t)w;
    }
    return true;
}

static size_t on_body(char *bytes, size_t one, size_t n, void *user)
{
    struct stream *s = user;
    const struct fetch *f = s->all->f;
    const struct fetch_part *p = &f->parts[s->part_i];
    long status = status_of(s);
    if (n == 0)
        return 0;
    s->last_byte_ns = clock_monotonic_ns();
    if (status != 200 && status != 206) {
        strbuf_push(&s->error_body, bytes, n); // what is too much is dropped
        return n;
    }
    if (!is_right_answer(s, status))
        return 0;
    s->is_wrong_size = n > p->size_bytes - p->done_bytes;
    if (s->is_wrong_size || !write_at(s, bytes, n))
        return 0;
    if (f->on_progress != NULL)
        f->on_progress(f->user, s->part_i);
    return n;
}

// ---- Starting and stopping streams ----

static void stop(struct stream *s)
{
    if (s->easy == NULL)
        return;
    curl_multi_remove_handle(s->all->multi, s->easy);
    curl_easy_cleanup(s->easy);
    s->easy = NULL;
    s->all->states[s->part_i].is_running = false;
    strbuf_fini(&s->error_body);
}

static void set_options(struct stream *s, const char *range)
{
    const struct fetch *f = s->all->f;
    client_set_common(s->easy, f->url);
    curl_easy_setopt(s->easy, CURLOPT_REDIR_PROTOCOLS_STR, f->allows_http ? "http,https" : "https");
    curl_easy_setopt(s->easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(s->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(s->easy, CURLOPT_RANGE, range);
    curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, s->all->headers);
    curl_easy_setopt(s->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(s->easy, CURLOPT_HEADERDATA, s);
    curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(s->easy, CURLOPT_WRITEDATA, s);
    curl_easy_setopt(s->easy, CURLOPT_PRIVATE, s);
}

static void start(struct fetching *all, struct stream *s, size_t part_i)
{
    const struct fetch_part *p = &all->f->parts[part_i];
    char range[64];
    *s = (struct stream){.all = all, .part_i = part_i, .done_before = p->done_bytes};
    s->error_body = STRBUF_INIT(ERROR_BODY_BYTES);
    s->last_byte_ns = clock_monotonic_ns();
    s->range_start = s->range_total = UINT64_MAX;
    s->easy = curl_easy_init();
    if (s->easy == NULL) {
        all->has_failed = true;
        err_set(all->err, ERR_INTERNAL, "cannot start a request");
        return;
    }
    snprintf(range, sizeof range, "%" PRIu64 "-%" PRIu64, p->offset + p->done_bytes,
             p->offset + p->size_bytes - 1);
    set_options(s, range);
    all->states[part_i].is_running = true;
    curl_multi_add_handle(all->multi, s->easy);
}

static bool part_is_done(const struct fetch_part *p)
{
    return p->done_bytes >= p->size_bytes;
}

// Gives idle streams the parts that may be asked for now. How many parts are not done.
static size_t start_what_waits(struct fetching *all)
{
    size_t n_left = 0, stream_i = 0;
    int64_t now = clock_monotonic_ns();
    for (size_t i = 0; i < all->f->n_parts; i++) {
        struct part_state *state = &all->states[i];
        if (part_is_done(&all->f->parts[i]))
            continue;
        n_left++;
        while (stream_i < all->n_streams && all->streams[stream_i].easy != NULL)
            stream_i++;
        if (!state->is_running && state->not_before_ns <= now && stream_i < all->n_streams)
            start(all, &all->streams[stream_i], i);
    }
    return n_left;
}

// ---- How streams end ----

static void fail(struct fetching *all, enum err_code code, const char *sentence)
{
    all->has_failed = true;
    err_set(all->err, code, "%s", sentence);
}

static void fail_with_status(struct stream *s, long status)
{
    struct fetching *all = s->all;
    char text[ERROR_BODY_BYTES + 64];
    all->end->status = (int)status;
    snprintf(text, sizeof text, "%ld: %.900s", status, strbuf_text(&s->error_body));
    if (status == 401)
        all->end->challenge = xstrdup(s->challenge);
    fail(all, status == 401 ? ERR_UNAUTHORIZED : status == 404 ? ERR_NOT_FOUND : ERR_INTERNAL, text);
}

static void wait_and_retry(struct stream *s, const char *why)
{
    struct fetching *all = s->all;
    struct part_state *state = &all->states[s->part_i];
    curl_off_t asked_s = 0;
    if (all->f->parts[s->part_i].done_bytes > s->done_before)
        state->n_tries = state->n_stalls = 0;
    if (++state->n_tries >= all->f->max_tries) {
        char text[512];
        snprintf(text, sizeof text, "max retries exceeded: %.400s", why);
        fail(all, ERR_INTERNAL, text);
        return;
    }
    curl_easy_getinfo(s->easy, CURLINFO_RETRY_AFTER, &asked_s);
    int64_t wait_s = MIN(MAX((int64_t)asked_s, 1LL << (state->n_tries - 1)), (int64_t)MAX_WAIT_S);
    state->not_before_ns = clock_monotonic_ns() + wait_s * NS_PER_S;
}

static bool is_passing(long status) // a status that may be another one later
{
    return status >= 500 || status == 408 || status == 429;
}

static void finish(struct stream *s, CURLcode rc)
{
    struct fetching *all = s->all;
    long status = status_of(s);
    char text[128];
    if (s->write_error != 0) {
        snprintf(text, sizeof text, "cannot write: %s", strerror(s->write_error));
        fail(all, ERR_INTERNAL, text);
    } else if (s->is_whole_file) {
        all->end->has_no_ranges = true;
        fail(all, ERR_UNSUPPORTED, "the server does not send parts of files");
    } else if (s->is_wrong_size) {
        fail(all, ERR_INTERNAL, "the file on the server has another size than it should");
    } else if (status >= 400 && !is_passing(status)) {
        fail_with_status(s, status);
    } else if (rc != CURLE_OK || !part_is_done(&all->f->parts[s->part_i])) {
        snprintf(text, sizeof text, status >= 400 ? "status %ld" : "the connection broke", status);
        wait_and_retry(s, rc != CURLE_OK && status < 400 ? curl_easy_strerror(rc) : text);
    }
    stop(s);
}

static void restart_stalled(struct fetching *all)
{
    int64_t now = clock_monotonic_ns();
    for (size_t i = 0; i < all->n_streams; i++) {
        struct stream *s = &all->streams[i];
        if (s->easy == NULL || now - s->last_byte_ns < all->f->stall_ns)
            continue;
        struct part_state *state = &all->states[s->part_i];
        bool has_moved = all->f->parts[s->part_i].done_bytes > s->done_before;
        state->n_stalls = has_moved ? 1 : state->n_stalls + 1;
        if (state->n_stalls >= MAX_STALLS)
            fail(all, ERR_TIMEOUT, "the server sends nothing");
        stop(s);
    }
}

static void drive(struct fetching *all)
{
    int n_running, n_messages;
    while (!all->has_failed && start_what_waits(all) > 0) {
        const struct fetch *f = all->f;
        if (f->cancel != NULL && __atomic_load_n(f->cancel, __ATOMIC_RELAXED) != 0)
            fail(all, ERR_CANCELLED, "request canceled");
        else if (curl_multi_perform(all->multi, &n_running) != CURLM_OK)
            fail(all, ERR_INTERNAL, "the transfer failed");
        for (CURLMsg *m; !all->has_failed && (m = curl_multi_info_read(all->multi, &n_messages)) != NULL;) {
            struct stream *s = NULL;
            curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&s);
            if (m->msg == CURLMSG_DONE)
                finish(s, m->data.result);
        }
        if (all->has_failed)
            return;
        restart_stalled(all);
        curl_multi_poll(all->multi, NULL, 0, POLL_MS, NULL);
    }
}

int fetch_run(const struct fetch *f, struct fetch_end *end, struct err *err)
{
    struct fetching all = {.f = f, .end = end, .err = err};
    *end = (struct fetch_end){0};
    all.multi = curl_multi_init();
    all.n_streams = (size_t)MAX(f->max_parallel, 1);
    all.streams = xcalloc(all.n_streams, sizeof all.streams[0]);
    all.states = xcalloc(f->n_parts + 1, sizeof all.states[0]);
    for (const char *const *h = f->headers; h != NULL && *h != NULL; h++)
        all.headers = curl_slist_append(all.headers, *h);
    if (all.multi == NULL)
        fail(&all, ERR_INTERNAL, "cannot start a request");
    else
        drive(&all);
    for (size_t i = 0; i < all.n_streams; i++)
        stop(&all.streams[i]);
    curl_multi_cleanup(all.multi);
    curl_slist_free_all(all.headers);
    free(all.streams);
    free(all.states);
    return all.has_failed ? -1 : 0;
}

void fetch_end_fini(struct fetch_end *end)
{
    free(end->challenge);
    end->challenge = NULL;
}
