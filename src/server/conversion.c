// SPDX-License-Identifier: MIT
// The bytes that a sandboxed child makes go into an unfinished blob; what was made is read back as a card
// before it becomes the model's weights.
#include "server/conversion.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "host/host.h"
#include "store/store.h"

struct conversion {
    struct chore *chore;
    struct draft *draft;
    bool has_begun; // bytes came
};

static int on_bytes(void *user, struct slice bytes, struct err *err)
{
    struct conversion *c = user;
    if (!c->has_begun && draft_weights_open(c->draft, err) != 0)
        return -1;
    c->has_begun = true;
    return draft_weights_push(c->draft, bytes, err);
}

static void on_state(void *user, const char *text, uint64_t done, uint64_t total)
{
    struct conversion *c = user;
    const struct chore_status status = {text, "0000000000000000000", total, done};
    chore_tell(c->chore, &status);
}

static bool is_cancelled(void *user)
{
    struct conversion *c = user;
    return chore_is_cancelled(c->chore);
}

static int finish(struct conversion *c, struct err *err)
{
    char *card = NULL;
    chore_say(c->chore, "verifying conversion");
    int rc = host_read_card(draft_weights_fd(c->draft), false, &card, err);
    if (rc == 0)
        rc = draft_weights_commit(c->draft, card, err);
    free(card);
    return rc;
}

static int convert(struct chore *chore, struct draft *d, const struct host_conversion_file *files,
                   size_t n_files, const char *type, struct err *err)
{
    struct conversion c = {.chore = chore, .draft = d};
    const struct host_conversion job = {.files = files,
                                        .n_files = n_files,
                                        .quantize = type,
                                        .user = &c,
                                        .on_bytes = on_bytes,
                                        .on_state = on_state,
                                        .is_cancelled = is_cancelled};
    int rc = host_convert(&job, err);
    return rc == 0 && c.has_begun ? finish(&c, err) : rc;
}

static int open_blob(struct chore *c, const char *digest, int *fd, struct err *err)
{
    char path[4096];
    uint64_t size = 0;
    struct err why = {0};
    if (store_find_blob(c->app->store, digest, path, &size, &why) != 0)
        return err_set(err, why.code == ERR_INVALID ? ERR_FORMAT : ERR_INVALID, "%s", why.message);
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    return *fd >= 0 ? 0 : err_set(err, ERR_INTERNAL, "%s: %s", path, strerror(errno));
}

int conversion_from_files(struct chore *c, struct draft *d, const json_t *files, const char *type,
                          struct err *err)
{
    struct host_conversion_file *opened = xcalloc(json_object_size(files) + 1, sizeof opened[0]);
    size_t n = 0;
    const char *name;
    json_t *digest;
    struct err why = {0};
    int rc = 0;
    json_object_foreach((json_t *)files, name, digest)
    {
        opened[n] = (struct host_conversion_file){name, -1};
        rc = open_blob(c, json_string_value(digest), &opened[n].fd, err);
        if (rc != 0)
            break;
        n++;
    }
    if (rc == 0 && convert(c, d, opened, n, type, &why) != 0) {
        bool is_theirs = why.code == ERR_FORMAT || why.code == ERR_UNSUPPORTED;
        rc = err_set(err, is_theirs ? ERR_INVALID : why.code, "%s", why.message);
    }
    for (size_t i = 0; i < n; i++)
        close(opened[i].fd);
    free(opened);
    return rc;
}

int conversion_quantize(struct chore *c, struct draft *d, const char *type, struct err *err)
{
    char path[4096];
    uint64_t size = 0;
    const char *digest = draft_find_layer(d, "model");
    if (digest == NULL)
        return err_set(err, ERR_FORMAT, "the model has no weights to quantize");
    if (store_find_blob(c->app->store, digest, path, &size, err) != 0)
        return -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_INTERNAL, "%s: %s", path, strerror(errno));
    const struct host_conversion_file file = {"model.gguf", fd};
    int rc = convert(c, d, &file, 1, type, err);
    close(fd);
    return rc;
}
