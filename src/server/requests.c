// SPDX-License-Identifier: MIT
// A request's record as JSON. What is not known yet, or does not apply, is left out.
#include "server/requests.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "json/writer.h"
#include "net/http.h"
#include "server/access.h"
#include "server/reply.h"
#include "server/why.h"

enum { MAX_LIST_BYTES = 16 << 20, MAX_SENTENCE_BYTES = 4096, LIST_DEFAULT = 100 };

static const char ONE_PATH[] = "/api/requests/";

static void member_seconds(struct json_writer *w, const char *key, int64_t ns)
{
    json_key(w, key);
    int64_t us = ns / 1000;
    json_put_double(w, (double)us / 1e6);
}

static void write_waits(struct json_writer *w, const struct host_record *r)
{
    member_seconds(w, "queue_seconds", r->queue_ns);
    member_seconds(w, "load_seconds", r->load_ns);
    json_key(w, "waits");
    json_begin_object(w);
    for (int i = 0; i < SCHED_CAUSE_COUNT; i++)
        if (r->cause_ns[i] > 0)
            member_seconds(w, sched_cause_name((enum sched_cause)i), r->cause_ns[i]);
    json_end_object(w);
}

static void write_end(struct json_writer *w, const struct host_record *r)
{
    json_member_text(w, "outcome", r->outcome);
    json_member_int(w, "status", r->status);
    if (r->error[0])
        json_member_text(w, "error", r->error);
}

// The members; the object is the caller's.
static void write_record(struct json_writer *w, const struct host_record *r)
{
    char arrived[40];
    bool is_waiting = r->phase == HOST_QUEUED || r->phase == HOST_LOADING;
    clock_format_rfc3339(r->arrived_wall_ns, arrived);
    json_member_text(w, "id", r->request_id);
    json_member_text(w, "state", why_phase_name(r->phase));
    if (is_waiting) {
        json_member_int(w, "position", r->position);
        json_member_text(w, "waiting_for", sched_cause_name(r->cause));
    }
    json_member_text(w, "model", r->model);
    json_member_text(w, "route", r->route);
    json_member_text(w, "client", r->client);
    json_member_text(w, "priority", r->priority);
    json_member_text(w, "arrived_at", arrived);
    member_seconds(w, r->phase == HOST_ENDED ? "total_seconds" : "age_seconds", r->total_ns);
    write_waits(w, r);
    if (r->first_token_ns > 0)
        member_seconds(w, "first_token_seconds", r->first_token_ns);
    json_member_int(w, "prompt_tokens", r->n_prompt);
    json_member_int(w, "cached_tokens", r->n_cached);
    json_member_int(w, "generated_tokens", r->n_generated);
    json_member_int(w, "resubmissions", r->n_resubmissions);
    if (r->phase == HOST_ENDED)
        write_end(w, r);
}

static void write_reasons(struct json_writer *w, const struct host_record *r)
{
    json_key(w, "reasons");
    json_begin_array(w);
    for (int part = 0; part < WHY_PART_COUNT; part++) {
        struct strbuf text = STRBUF_INIT(MAX_SENTENCE_BYTES);
        if (why_write(r, (enum why_part)part, &text))
            json_put_text(w, strbuf_text(&text));
        strbuf_fini(&text);
    }
    json_end_array(w);
}

static void write_list(struct json_writer *w, const struct host_record *records, size_t n)
{
    json_key(w, "requests");
    json_begin_array(w);
    for (size_t i = 0; i < n; i++) {
        json_begin_object(w);
        write_record(w, &records[i]);
        json_end_object(w);
    }
    json_end_array(w);
}

// Who has a key of role infer sees and ends its own requests, by whichever key of that name they came.
static bool may_see(const struct access_caller *caller, const struct host_record *r)
{
    return caller->is_admin || (caller->name[0] && strcmp(caller->name, r->client) == 0);
}

// Takes out what the caller may not see; returns how many are left.
static size_t keep_own(const struct access_caller *caller, struct host_record *records, size_t n)
{
    size_t n_kept = 0;
    for (size_t i = 0; i < n; i++)
        if (may_see(caller, &records[i]))
            records[n_kept++] = records[i];
    return n_kept;
}

void requests_queue(struct app *app, struct http_request *r)
{
    struct strbuf out = STRBUF_INIT(MAX_LIST_BYTES);
    struct json_writer w = json_writer_make(&out);
    struct host_record *records = NULL;
    struct access_caller caller;
    size_t n = 0, n_waiting = 0;
    host_read_queue(app->host, &records, &n);
    for (size_t i = 0; i < n; i++)
        n_waiting += records[i].phase == HOST_QUEUED || records[i].phase == HOST_LOADING;
    json_begin_object(&w);
    json_member_int(&w, "running", (int64_t)(n - n_waiting));
    json_member_int(&w, "waiting", (int64_t)n_waiting);
    access_read_caller(app, r, &caller);
    n = keep_own(&caller, records, n);
    write_list(&w, records, n);
    json_end_object(&w);
    free(records);
    reply_json(r, &out);
}

// "limit=20" of the query; the default when absent or no number.
static size_t read_limit(const struct http_request *r)
{
    const char *query = http_request_query(r);
    if (strncmp(query, "limit=", 6) != 0)
        return LIST_DEFAULT;
    unsigned long limit = strtoul(query + 6, NULL, 10);
    return MIN(MAX(limit, 1ul), (unsigned long)HOST_HISTORY);
}

void requests_list(struct app *app, struct http_request *r)
{
    struct strbuf out = STRBUF_INIT(MAX_LIST_BYTES);
    struct json_writer w = json_writer_make(&out);
    struct host_record *records = NULL;
    struct access_caller caller;
    size_t n = 0, limit = read_limit(r);
    access_read_caller(app, r, &caller);
    // The limit is of those that are shown: what others asked since takes no place in it.
    host_read_history(app->host, caller.is_admin ? limit : HOST_HISTORY, &records, &n);
    n = keep_own(&caller, records, n);
    n = MIN(n, limit);
    json_begin_object(&w);
    write_list(&w, records, n);
    json_end_object(&w);
    free(records);
    reply_json(r, &out);
}

static void cancel_one(struct app *app, struct http_request *r, const char *id)
{
    struct strbuf out = STRBUF_INIT(4096);
    struct json_writer w = json_writer_make(&out);
    struct err err = {0};
    if (host_cancel_request(app->host, id, &err) != 0) {
        reply_error(r, ERRORS_OLLAMA, &err, NULL);
        return;
    }
    json_begin_object(&w);
    json_member_text(&w, "id", id);
    json_member_text(&w, "status", "canceled");
    json_end_object(&w);
    reply_json(r, &out);
}

void requests_one(struct app *app, struct http_request *r)
{
    const char *id = http_request_path(r) + strlen(ONE_PATH);
    struct host_record record;
    struct access_caller caller;
    struct err err = {0};
    access_read_caller(app, r, &caller);
    bool is_delete = strcmp(http_request_method(r), "DELETE") == 0;
    bool is_hidden =
        !caller.is_admin && !(host_find_request(app->host, id, &record) && may_see(&caller, &record));
    if (is_delete && !is_hidden) {
        cancel_one(app, r, id);
    } else if (is_hidden || !host_find_request(app->host, id, &record)) {
        err_set(&err, ERR_NOT_FOUND, "request '%.128s' not found; the last %d that ended are kept", id,
                HOST_HISTORY);
        reply_error(r, ERRORS_OLLAMA, &err, NULL);
    } else {
        struct strbuf out = STRBUF_INIT(64 << 10);
        struct json_writer w = json_writer_make(&out);
        json_begin_object(&w);
        write_record(&w, &record);
        write_reasons(&w, &record);
        json_end_object(&w);
        reply_json(r, &out);
    }
}
