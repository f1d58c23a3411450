// SPDX-License-Identifier: MIT
// Pushing: each blob that the registry lacks is sent in parts, then the manifest. A part that broke off goes
// on where the registry says it is; when it cannot say, the blob is sent anew. See transfer.h.
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "json/json.h"
#include "store/blobs.h"
#include "store/manifest.h"
#include "store/pins.h"
#include "store/registry.h"
#include "store/transfer.h"

enum { MAX_TRIES = 6, PARTS = 16, MIN_PART_BYTES = 100000000, MAX_PART_BYTES = 1000000000, TELL_MS = 60 };
enum { MD5_BYTES = 16, MAX_URL_BYTES = 8192 };

struct push {
    struct store *store;
    const struct transfer *t;
    struct registry registry;
    struct pins *pins;
};

// A blob on its way.
struct sending {
    struct push *p;
    const char *digest;
    const char *from; // the layer's "from", or NULL
    int fd;
    uint64_t size_bytes, part_bytes;
    uint64_t sent_bytes;     // of whole parts
    char url[MAX_URL_BYTES]; // where the next part goes
    int64_t told_ns;
    EVP_MD_CTX *etag; // over the MD5s of the parts sent to a storage elsewhere
    size_t n_etag_parts;
};

static void tell(struct sending *s, uint64_t completed)
{
    char text[32];
    snprintf(text, sizeof text, "pushing %.12s", s->digest + 7);
    s->told_ns = clock_monotonic_ns();
    s->p->t->on_status(s->p->t->user, &(struct transfer_status){text, s->digest, s->size_bytes, completed});
}

static void on_sent(void *user, uint64_t sent_bytes)
{
    struct sending *s = user;
    if (clock_monotonic_ns() - s->told_ns >= TELL_MS * NS_PER_MS)
        tell(s, s->sent_bytes + sent_bytes);
}

// ---- One request ----

static bool is_success(int status)
{
    return status >= 200 && status < 300;
}

// ERR_FORMAT: asking again would not help.
static int refuse(const struct http_client_reply *reply, const char *what, struct err *err)
{
    struct strbuf body = reply->body;
    int status = reply->status;
    bool is_final =
        status >= 400 && status < 500 && status != 404 && status != 408 && status != 416 && status != 429;
    return err_set(err, is_final ? ERR_FORMAT : ERR_INTERNAL, "%s: %d: %.*s", what, reply->status,
                   (int)MIN(body.n, (size_t)500), body.at != NULL ? body.at : "");
}

// The address for the next part: Location may be relative to the registry.
static int take_location(struct sending *s, const struct http_client_reply *reply, struct err *err)
{
    char *location = http_client_find_header(reply, "Docker-Upload-Location");
    if (location == NULL)
        location = http_client_find_header(reply, "Location");
    const struct registry *r = &s->p->registry;
    int n = -1;
    if (location != NULL && location[0] == '/')
        n = snprintf(s->url, sizeof s->url, "%s://%s%s", r->is_http ? "http" : "https", r->host, location);
    else if (location != NULL)
        n = snprintf(s->url, sizeof s->url, "%s", location);
    free(location);
    return n > 0 && (size_t)n < sizeof s->url
               ? 0
               : err_set(err, ERR_INTERNAL, "the registry does not say where to send the blob");
}

// Whether the token may go there: it is for the registry's host alone.
static bool is_own_host(const struct registry *r, const char *url)
{
    char own[512];
    size_t n = (size_t)snprintf(own, sizeof own, "%s://%s/", r->is_http ? "http" : "https", r->host);
    return strncasecmp(url, own, n) == 0;
}

static int send_elsewhere(struct http_client_call *call, struct http_client_reply *reply, struct err *err)
{
    return http_client_request(call, reply, err);
}

static int send_to(struct sending *s, struct http_client_call *call, const char *const *headers,
                   struct http_client_reply *reply, struct err *err)
{
    struct registry *r = &s->p->registry;
    call->cancel = r->cancel;
    call->stall_timeout_s = 60;
    if (is_own_host(r, call->url))
        return registry_send(r, call, headers, reply, err);
    call->headers = headers;
    return send_elsewhere(call, reply, err);
}

// ---- A blob ----

static int is_there(struct sending *s, bool *there, struct err *err)
{
    char rest[128], url[REGISTRY_URL_BYTES];
    struct http_client_reply reply = {0};
    snprintf(rest, sizeof rest, "blobs/%s", s->digest);
    registry_url(&s->p->registry, rest, url);
    struct http_client_call call = {.method = "HEAD", .url = url, .follow_redirects = true};
    int rc = registry_send(&s->p->registry, &call, NULL, &reply, err);
    *there = rc == 0 && is_success(reply.status);
    if (rc == 0 && !*there && reply.status != 404)
        rc = refuse(&reply, "asking for a blob", err);
    http_client_reply_fini(&reply);
    return rc;
}

// Where to begin: an address, or nothing to do because the registry takes the blob from another model.
static int begin(struct sending *s, bool *is_mounted, struct err *err)
{
    char rest[1200] = "blobs/uploads/", url[REGISTRY_URL_BYTES];
    struct http_client_reply reply = {0};
    struct model_name from;
    struct err ignored = {0};
    if (s->from != NULL && name_parse(&from, s->from, &ignored) == 0)
        snprintf(rest, sizeof rest, "blobs/uploads/?mount=%s&from=%s/%s", s->digest, from.ns, from.model);
    registry_url(&s->p->registry, rest, url);
    struct http_client_call call = {.method = "POST", .url = url, .body = slice_of("")};
    int rc = registry_send(&s->p->registry, &call, NULL, &reply, err);
    *is_mounted = rc == 0 && reply.status == 201;
    if (rc == 0 && !is_success(reply.status))
        rc = refuse(&reply, "starting an upload", err);
    if (rc == 0 && !*is_mounted)
        rc = take_location(s, &reply, err);
    s->sent_bytes = 0;
    http_client_reply_fini(&reply);
    return rc;
}

static int add_etag(struct sending *s, uint64_t n_bytes, struct err *err)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    char *piece = xmalloc(1 << 20);
    unsigned n_sum = 0;
    EVP_MD_CTX *md5 = EVP_MD_CTX_new();
    int rc = EVP_DigestInit_ex(md5, EVP_md5(), NULL) == 1 ? 0 : -1;
    for (uint64_t at = 0; rc == 0 && at < n_bytes;) {
        ssize_t n =
            pread(s->fd, piece, (size_t)MIN(n_bytes - at, (uint64_t)1 << 20), (off_t)(s->sent_bytes + at));
        rc = n > 0 && EVP_DigestUpdate(md5, piece, (size_t)n) == 1 ? 0 : -1;
        at += n > 0 ? (uint64_t)n : 0;
    }
    if (rc == 0 && s->etag == NULL) {
        s->etag = EVP_MD_CTX_new();
        rc = EVP_DigestInit_ex(s->etag, EVP_md5(), NULL) == 1 ? 0 : -1;
    }
    if (rc == 0 && EVP_DigestFinal_ex(md5, sum, &n_sum) == 1)
        rc = EVP_DigestUpdate(s->etag, sum, n_sum) == 1 ? 0 : -1;
    s->n_etag_parts++;
    EVP_MD_CTX_free(md5);
    free(piece);
    return rc == 0 ? 0 : err_set(err, ERR_INTERNAL, "cannot checksum a part");
}

// The registry sends the part to a storage: there it is PUT, without the token; the next part's address came
// with the redirect.
static int put_elsewhere(struct sending *s, const struct http_client_reply *redirect, uint64_t n_bytes,
                         struct err *err)
{
    struct http_client_reply reply = {0};
    static const char *const headers[] = {"Content-Type: application/octet-stream", NULL};
    char *to = http_client_find_header(redirect, "Location");
    char *next = http_client_find_header(redirect, "Docker-Upload-Location");
    const struct http_client_file file = {s->fd, s->sent_bytes, n_bytes, on_sent, s};
    struct http_client_call call = {.method = "PUT",
                                    .url = to,
                                    .file = &file,
                                    .headers = headers,
                                    .cancel = s->p->registry.cancel,
                                    .stall_timeout_s = 60};
    int rc = to == NULL ? err_set(err, ERR_INTERNAL, "the registry does not say where to send the blob")
                        : http_client_request(&call, &reply, err);
    if (rc == 0 && !is_success(reply.status))
        rc = refuse(&reply, "sending a part", err);
    if (rc == 0)
        rc = add_etag(s, n_bytes, err);
    if (rc == 0 && next != NULL)
        rc = take_location(s, redirect, err);
    free(to);
    free(next);
    http_client_reply_fini(&reply);
    return rc;
}

static int send_part(struct sending *s, struct err *err)
{
    char range[96], type[] = "Content-Type: application/octet-stream", redirects[] = "X-Redirect-Uploads: 1";
    struct http_client_reply reply = {0};
    uint64_t n = MIN(s->part_bytes, s->size_bytes - s->sent_bytes);
    const struct http_client_file file = {s->fd, s->sent_bytes, n, on_sent, s};
    struct http_client_call call = {.method = "PATCH", .url = s->url, .file = &file};
    snprintf(range, sizeof range, "Content-Range: %llu-%llu", (unsigned long long)s->sent_bytes,
             (unsigned long long)(s->sent_bytes + n - 1));
    const char *const headers[] = {type, range, redirects, NULL};
    int rc = send_to(s, &call, headers, &reply, err);
    if (rc == 0 && reply.status == 307)
        rc = put_elsewhere(s, &reply, n, err);
    else if (rc == 0 && !is_success(reply.status))
        rc = refuse(&reply, "sending a part", err);
    else if (rc == 0)
        rc = take_location(s, &reply, err);
    if (rc == 0)
        s->sent_bytes += n;
    http_client_reply_fini(&reply);
    return rc;
}

// How far the registry is, after a part broke off. False: it cannot say.
static bool ask_progress(struct sending *s)
{
    struct http_client_reply reply = {0};
    struct err ignored = {0};
    unsigned long long first, last;
    struct http_client_call call = {.url = s->url};
    bool is_known = false;
    if (is_own_host(&s->p->registry, s->url) && s->etag == NULL &&
        registry_send(&s->p->registry, &call, NULL, &reply, &ignored) == 0 && is_success(reply.status)) {
        char *range = http_client_find_header(&reply, "Range");
        is_known = range != NULL && sscanf(range, "%llu-%llu", &first, &last) == 2 && first == 0 &&
                   last < s->size_bytes && take_location(s, &reply, &ignored) == 0;
        if (is_known) // "0-0" is said of one byte and of none
            s->sent_bytes = last > 0 ? last + 1 : 0;
        is_known = is_known && last > 0;
        free(range);
    }
    http_client_reply_fini(&reply);
    return is_known;
}

static int finish(struct sending *s, struct err *err)
{
    struct http_client_reply reply = {0};
    struct strbuf url = STRBUF_INIT(MAX_URL_BYTES + 256);
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n_sum = 0;
    strbuf_printf(&url, "%s%cdigest=%s", s->url, strchr(s->url, '?') != NULL ? '&' : '?', s->digest);
    if (s->etag != NULL && EVP_DigestFinal_ex(s->etag, sum, &n_sum) == 1) {
        strbuf_push_text(&url, "&etag=");
        for (unsigned i = 0; i < n_sum; i++)
            strbuf_printf(&url, "%02x", sum[i]);
        strbuf_printf(&url, "-%zu", s->n_etag_parts);
    }
    static const char *const headers[] = {"Content-Type: application/octet-stream", NULL};
    struct http_client_call call = {.method = "PUT", .url = strbuf_text(&url), .body = slice_of("")};
    int rc = send_to(s, &call, headers, &reply, err);
    if (rc == 0 && !is_success(reply.status))
        rc = refuse(&reply, "ending an upload", err);
    http_client_reply_fini(&reply);
    strbuf_fini(&url);
    return rc;
}

static void pause_s(const struct push *p, int seconds)
{
    struct timespec tick = {.tv_nsec = 50 * NS_PER_MS};
    for (int i = 0; i < seconds * 20 && !(p->t->cancel != NULL && *p->t->cancel != 0); i++)
        nanosleep(&tick, NULL);
}

static bool is_cancelled(const struct push *p)
{
    return p->t->cancel != NULL && __atomic_load_n(p->t->cancel, __ATOMIC_RELAXED) != 0;
}

// From wherever it is to the end, once.
static int send_rest(struct sending *s, bool *has_begun, struct err *err)
{
    bool is_mounted = false;
    if (!*has_begun && begin(s, &is_mounted, err) != 0)
        return -1;
    *has_begun = true;
    if (is_mounted)
        return 0;
    while (s->sent_bytes < s->size_bytes)
        if (send_part(s, err) != 0)
            return -1;
    return finish(s, err);
}

static int send_blob(struct sending *s, struct err *err)
{
    bool has_begun = false;
    for (int i = 1;; i++) {
        struct err why = {0};
        uint64_t before = s->sent_bytes;
        if (send_rest(s, &has_begun, &why) == 0)
            return 0;
        if (s->sent_bytes > before)
            i = 1;
        if (i >= MAX_TRIES || is_cancelled(s->p) || why.code == ERR_UNAUTHORIZED || why.code == ERR_FORMAT)
            return err_set(err, why.code, "%s", why.message);
        pause_s(s->p, 1 << (i - 1));
        has_begun = has_begun && s->url[0] != 0 && ask_progress(s);
        if (!has_begun) {
            EVP_MD_CTX_free(s->etag);
            s->etag = NULL;
            s->n_etag_parts = 0;
            s->sent_bytes = 0;
        }
    }
}

static int push_blob(struct push *p, const json_t *entry, struct err *err)
{
    char digest[BLOB_DIGEST_BYTES], path[BLOB_PATH_BYTES];
    struct stat st;
    bool there = false;
    if (!blob_parse_digest(json_string_value(json_object_get(entry, "digest")),
                           digest)) // pinned, so it is one
        return -1;
    blob_path(store_directory(p->store), digest, path);
    struct sending s = {
        .p = p, .digest = digest, .from = json_string_value(json_object_get(entry, "from")), .fd = -1};
    s.fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = -1;
    if (s.fd < 0 || fstat(s.fd, &st) != 0) {
        err_set(err, ERR_INTERNAL, "%s: %s", path, strerror(errno));
    } else {
        s.size_bytes = (uint64_t)st.st_size;
        s.part_bytes = MIN(MAX(s.size_bytes / PARTS, (uint64_t)MIN_PART_BYTES), (uint64_t)MAX_PART_BYTES);
        tell(&s, 0);
        rc = is_there(&s, &there, err);
    }
    if (rc == 0 && !there)
        rc = send_blob(&s, err);
    if (rc == 0)
        tell(&s, s.size_bytes);
    EVP_MD_CTX_free(s.etag);
    if (s.fd >= 0)
        close(s.fd);
    return rc;
}

// ---- The manifest ----

static int put_manifest(struct push *p, struct slice bytes, struct err *err)
{
    static const char *const headers[] = {
        "Content-Type: application/vnd.docker.distribution.manifest.v2+json", NULL};
    char rest[128], url[REGISTRY_URL_BYTES];
    struct http_client_reply reply = {0};
    snprintf(rest, sizeof rest, "manifests/%s", p->registry.name.tag);
    registry_url(&p->registry, rest, url);
    struct http_client_call call = {.method = "PUT", .url = url, .body = bytes};
    int rc = registry_send(&p->registry, &call, headers, &reply, err);
    if (rc == 0 && !is_success(reply.status))
        rc = refuse(&reply, "pushing the manifest", err);
    http_client_reply_fini(&reply);
    return rc;
}

static int push_all(struct push *p, const json_t *manifest, struct slice bytes, struct err *err)
{
    size_t i;
    json_t *layer;
    if (!json_is_object(json_object_get(manifest, "config")))
        return err_set(err, ERR_FORMAT, "model '%s' is broken: a manifest without a config", p->t->name);
    json_array_foreach(json_object_get(manifest, "layers"), i, layer)
    {
        if (push_blob(p, layer, err) != 0)
            return -1;
    }
    if (push_blob(p, json_object_get(manifest, "config"), err) != 0)
        return -1;
    p->t->on_status(p->t->user, &(struct transfer_status){.status = "pushing manifest"});
    return put_manifest(p, bytes, err);
}

static int push(struct push *p, struct err *err)
{
    struct model_name name = p->registry.name;
    struct manifest_text m;
    struct err why = {0};
    char path[4096];
    p->t->on_status(p->t->user, &(struct transfer_status){.status = "retrieving manifest"});
    store_adopt_name(p->store, &name);
    manifest_path(store_directory(p->store), &name, path);
    int rc = manifest_open(store_directory(p->store), path, p->pins, &m, &why);
    if (rc == 0)
        rc = push_all(p, m.value, slice_make(m.bytes, m.n), err);
    else if (why.code == ERR_NOT_FOUND)
        err_set(err, ERR_NOT_FOUND, "model '%s' not found", p->t->name);
    else
        err_set(err, why.code, "model '%s' is broken: %s", p->t->name, why.message);
    manifest_text_fini(&m);
    return rc;
}

int store_push(struct store *s, const struct transfer *t, struct err *err)
{
    struct push p = {.store = s, .t = t, .pins = pins_new(store_directory(s))};
    int rc = registry_open(&p.registry, t->name, t->insecure, t->cancel, err);
    if (rc == 0)
        rc = push(&p, err);
    pins_free(p.pins);
    registry_fini(&p.registry);
    return rc;
}
