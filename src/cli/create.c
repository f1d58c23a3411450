// SPDX-License-Identifier: MIT
// `drover create`: a Modelfile is read here, the files that FROM names are sent if the server lacks them, the
// rest is one request.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/options.h"
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/modelfile.h"
#include "cli/progress.h"
#include "cli/pull.h"
#include "json/writer.h"
#include "net/client.h"

enum { PATH_BYTES = 4096, MAX_MODELFILE_BYTES = 64 << 20, MAX_BODY_BYTES = 64 << 20, PIECE_BYTES = 1 << 20 };

const struct args_flag cli_create_flags[] = {
    {"file", 'f', ARGS_TEXT, "FILE", "the Modelfile; else ./Modelfile, else FROM ."},
    {"quantize", 'q', ARGS_TEXT, "TYPE", "write weights of F32, F16 or BF16 as TYPE: Q4_K_M, Q8_0, ..."},
    {"draft-quantize", 0, ARGS_TEXT, "TYPE", "quantize the draft model (if the server can)"},
    {"experimental", 0, ARGS_SWITCH, NULL, "not here: refused"},
    {NULL},
};

// ---- Files ----

static int read_file(const char *path, struct strbuf *out, struct err *err)
{
    char piece[65536];
    size_t n;
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return err_set(err, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        strbuf_push(out, piece, n);
    int rc = ferror(f) || out->overflow ? err_set(err, ERR_INTERNAL, "%s: cannot be read", path) : 0;
    fclose(f);
    return rc;
}

// "~", "~user" and what is relative to the Modelfile's directory.
static void expand(const char *path, const char *modelfile, char out[PATH_BYTES])
{
    const char *rest = path + strcspn(path, "/");
    char user[256];
    snprintf(user, sizeof user, "%.*s", (int)MIN((size_t)(rest - path), sizeof user - 1), path);
    const struct passwd *person = path[0] == '~' && user[1] != 0 ? getpwnam(user + 1) : NULL;
    const char *slash = strrchr(modelfile, '/');
    if (path[0] == '/' || (path[0] == '~' && user[1] != 0 && person == NULL))
        snprintf(out, PATH_BYTES, "%s", path);
    else if (path[0] == '~')
        snprintf(out, PATH_BYTES, "%s%s", person != NULL ? person->pw_dir : options_home(), rest);
    else if (slash != NULL)
        snprintf(out, PATH_BYTES, "%.*s/%s", (int)(slash - modelfile), modelfile, path);
    else
        snprintf(out, PATH_BYTES, "%s", path);
}

static bool ends_with(const char *text, const char *tail)
{
    size_t n = strlen(text), t = strlen(tail);
    return n > t && strcasecmp(text + n - t, tail) == 0;
}

enum { MAX_FILES = 256 };

// The files that one FROM names.
struct sources {
    char *paths[MAX_FILES];
    size_t n;
};

static void sources_fini(struct sources *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->paths[i]);
}

static int add_source(struct sources *s, const char *directory, const char *name, struct err *err)
{
    char path[PATH_BYTES];
    if (s->n == MAX_FILES)
        return err_set(err, ERR_INVALID, "%s: more than %d files", directory, MAX_FILES);
    snprintf(path, sizeof path, "%.3800s/%.255s", directory, name);
    s->paths[s->n++] = xstrdup(path);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_shard(const char *name)
{
    return ends_with(name, ".safetensors");
}

static bool is_named_shard(const char *name)
{
    return is_shard(name) && strncmp(name, "model", 5) == 0;
}

static bool is_gguf(const char *name)
{
    return ends_with(name, ".gguf");
}

static bool is_pytorch(const char *name)
{
    return ends_with(name, ".bin") || ends_with(name, ".pth") || ends_with(name, ".pt");
}

// What goes with shards.
static bool is_description(const char *name)
{
    return ends_with(name, ".json") || strcmp(name, "chat_template.jinja") == 0;
}

static int add_those(struct sources *s, const char *directory, bool (*is_wanted)(const char *name),
                     struct err *err)
{
    DIR *d = opendir(directory);
    int rc = 0;
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL && rc == 0; e = readdir(d))
        if (is_wanted(e->d_name))
            rc = add_source(s, directory, e->d_name, err);
    if (d != NULL)
        closedir(d);
    qsort(s->paths, s->n, sizeof s->paths[0], by_name);
    return rc;
}

// Shards with what describes them, or the one GGUF file.
static int look_into_directory(struct sources *s, const char *directory, struct err *err)
{
    if (add_those(s, directory, is_named_shard, err) != 0 ||
        (s->n == 0 && add_those(s, directory, is_shard, err) != 0))
        return -1;
    if (s->n > 0)
        return add_those(s, directory, is_description, err);
    if (add_those(s, directory, is_gguf, err) != 0)
        return -1;
    if (s->n > 1)
        return err_set(err, ERR_INVALID, "%s: more than one GGUF file, name one", directory);
    if (s->n == 0 && add_those(s, directory, is_pytorch, err) == 0)
        return err_set(err, ERR_INVALID,
                       s->n > 0 ? "%s: PyTorch files are not supported, convert them to safetensors"
                                : "%s: no Modelfile or safetensors files found",
                       directory);
    return 0;
}

struct sent {
    struct progress *progress;
    char text[128];
    uint64_t size_bytes;
};

static int hash_file(int fd, char digest[72], struct err *err)
{
    unsigned char sum[EVP_MAX_MD_SIZE] = {0};
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    char *piece = xmalloc(PIECE_BYTES);
    off_t at = 0;
    ssize_t n = 1;
    int rc = EVP_DigestInit_ex(sha, EVP_sha256(), NULL) == 1 ? 0 : -1;
    while (rc == 0 && n != 0) {
        n = pread(fd, piece, PIECE_BYTES, at);
        if (n < 0 && errno == EINTR)
            continue;
        rc = n >= 0 && EVP_DigestUpdate(sha, piece, (size_t)n) == 1 ? 0 : -1;
        at += n > 0 ? n : 0;
    }
    EVP_DigestFinal_ex(sha, sum, NULL);
    snprintf(digest, 72, "sha256:");
    for (size_t i = 0; i < 32; i++)
        snprintf(digest + 7 + 2 * i, 3, "%02x", sum[i]);
    EVP_MD_CTX_free(sha);
    free(piece);
    return rc == 0 ? 0 : err_set(err, ERR_INTERNAL, "the file cannot be read: %s", strerror(errno));
}

static void on_sent(void *user, uint64_t sent_bytes)
{
    struct sent *s = user;
    progress_bar(s->progress, s->text, s->size_bytes, sent_bytes);
}

static int send_file(int fd, const char *digest, struct progress *p, struct err *err)
{
    char path[128];
    struct stat st;
    struct err ignored = {0};
    snprintf(path, sizeof path, "/api/blobs/%s", digest);
    if (api_send("HEAD", path, slice_of(NULL), &ignored) == 0)
        return 0;
    if (fstat(fd, &st) != 0)
        return err_set(err, ERR_INTERNAL, "the file cannot be read: %s", strerror(errno));
    struct sent s = {.progress = p, .size_bytes = (uint64_t)st.st_size};
    snprintf(s.text, sizeof s.text, "copying file %s", digest);
    const struct http_client_file file = {fd, 0, s.size_bytes, on_sent, &s};
    return api_send_file(path, &file, err);
}

// A file goes to the server; `body` gets its name and digest.
static int add_file(const char *path, json_t *body, struct progress *p, struct err *err)
{
    char digest[72];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc =
        fd >= 0 ? hash_file(fd, digest, err) : err_set(err, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
    if (rc == 0)
        rc = send_file(fd, digest, p, err);
    if (fd >= 0)
        close(fd);
    if (rc != 0)
        return -1;
    const char *slash = strrchr(path, '/');
    json_t *files = json_object_get(body, "files");
    if (files == NULL) {
        files = json_object();
        json_object_set_new(body, "files", files);
    }
    json_object_set_new(files, slash != NULL ? slash + 1 : path, json_string(digest));
    return 0;
}

static int add_path(const char *path, json_t *body, struct progress *p, struct err *err)
{
    struct sources s = {.n = 0};
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return add_file(path, body, p, err);
    int rc = look_into_directory(&s, path, err);
    for (size_t i = 0; i < s.n && rc == 0; i++)
        rc = add_file(s.paths[i], body, p, err);
    sources_fini(&s);
    return rc;
}

// ---- The request ----

static int add_sources(const struct modelfile *m, const char *modelfile, json_t *body, struct progress *p,
                       struct err *err)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct modelfile_command *c = &m->commands[i];
        char path[PATH_BYTES];
        if (strcmp(c->name, "adapter") == 0)
            return err_set(err, ERR_INVALID, "(line %d): ADAPTER is not supported", c->line);
        if (strcmp(c->name, "from") != 0)
            continue;
        expand(c->value, modelfile, path);
        if (access(path, F_OK) != 0)
            json_object_set_new(body, "from", json_string(c->value));
        else if (add_path(path, body, p, err) != 0)
            return -1;
    }
    return 0;
}

static int read_modelfile(const char *path, bool was_named, struct modelfile *m, struct err *err)
{
    struct strbuf text = STRBUF_INIT(MAX_MODELFILE_BYTES);
    int rc;
    bool is_there = access(path, F_OK) == 0;
    if (!is_there && was_named)
        rc = err_set(err, ERR_NOT_FOUND, "specified Modelfile wasn't found");
    else
        rc = is_there ? read_file(path, &text, err) : 0;
    if (rc == 0 && !is_there)
        strbuf_push_text(&text, "FROM .\n");
    if (rc == 0)
        rc = modelfile_parse(strbuf_slice(&text), m, err);
    strbuf_fini(&text);
    return rc;
}

static int send_body(const json_t *body, struct progress *p, struct err *err)
{
    struct strbuf text = STRBUF_INIT(MAX_BODY_BYTES);
    struct json_writer w = json_writer_make(&text);
    json_put_value(&w, body);
    int rc = text.overflow ? err_set(err, ERR_TOO_LARGE, "the Modelfile is too large")
                           : pull_watch("/api/create", strbuf_slice(&text), p, err);
    strbuf_fini(&text);
    return rc;
}

int cli_create(const struct args *a)
{
    struct err err = {0};
    struct modelfile m = {0};
    struct strbuf warnings = STRBUF_INIT(64 << 10);
    const char *named = args_text(a, "file"), *path = named != NULL ? named : "Modelfile";
    json_t *body = json_object();
    struct progress *p = NULL;
    json_object_set_new(body, "model", json_string(a->operands[0]));
    if (args_has(a, "quantize"))
        json_object_set_new(body, "quantize", json_string(args_text(a, "quantize")));
    if (args_has(a, "draft-quantize"))
        json_object_set_new(body, "draft_quantize", json_string(args_text(a, "draft-quantize")));
    int rc = args_has(a, "experimental") ? err_set(&err, ERR_INVALID, "--experimental is not supported")
                                         : read_modelfile(path, named != NULL, &m, &err);
    if (rc == 0)
        rc = modelfile_fill(&m, body, &warnings, &err);
    if (rc == 0) {
        fputs(strbuf_text(&warnings), stderr);
        p = progress_new();
        progress_say(p, "gathering model components");
        rc = add_sources(&m, path, body, p, &err);
    }
    if (rc == 0)
        rc = send_body(body, p, &err);
    progress_end(p);
    modelfile_fini(&m);
    strbuf_fini(&warnings);
    json_decref(body);
    return rc == 0 ? 0 : api_fail(&err);
}
