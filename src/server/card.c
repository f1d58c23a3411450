// SPDX-License-Identifier: MIT
// The cards' cache: text by digest, because jansson's values must not be shared between threads. Bounded;
// when it is full, all of it is dropped, which costs one reading per model and happens to nobody with fewer
// than MAX_CARDS models.
#include "server/card.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "host/host.h"

enum { MAX_CARDS = 512 };

struct kept_card {
    char *digest;
    char *text;
    struct template_traits traits;
};

struct card_cache {
    pthread_mutex_t lock;
    struct kept_card cards[MAX_CARDS];
    size_t n;
};

struct card_cache *card_cache_new(void)
{
    struct card_cache *c = xcalloc(1, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

static void drop_all(struct card_cache *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free(c->cards[i].digest);
        free(c->cards[i].text);
    }
    c->n = 0;
}

void card_cache_free(struct card_cache *c)
{
    if (!c)
        return;
    drop_all(c);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static char *find(struct card_cache *c, const char *digest)
{
    char *text = NULL;
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->n && !text; i++)
        if (strcmp(c->cards[i].digest, digest) == 0)
            text = xstrdup(c->cards[i].text);
    pthread_mutex_unlock(&c->lock);
    return text;
}

// What the templates of a card can do together; the second one is for conversations with tools.
struct template_traits card_traits(const json_t *card)
{
    const json_t *info = json_object_get(card, "model_info");
    struct template_traits traits = traits_of_jinja(json_slice(json_object_get(card, "template"))),
                           other = traits_of_jinja(
                               json_slice(json_object_get(info, "tokenizer.chat_template.tool_use")));
    traits.takes_tools |= other.takes_tools;
    traits.takes_tool_results |= other.takes_tool_results;
    return traits;
}

static void keep(struct card_cache *c, const char *digest, const char *text, const json_t *card)
{
    struct template_traits traits = card_traits(card);
    pthread_mutex_lock(&c->lock);
    if (c->n == MAX_CARDS)
        drop_all(c);
    c->cards[c->n++] = (struct kept_card){xstrdup(digest), xstrdup(text), traits};
    pthread_mutex_unlock(&c->lock);
}

static char *read_file(const char *path, bool verbose, struct err *err)
{
    char *text = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        err_set(err, ERR_FORMAT, "%s: %s", path, strerror(errno));
        return NULL;
    }
    if (host_read_card(fd, verbose, &text, err) != 0)
        text = NULL;
    close(fd);
    return text;
}

json_t *card_read(struct card_cache *c, const struct stored_model *m, bool verbose, struct err *err)
{
    if (!m->model_path || !m->model_digest) {
        err_set(err, ERR_FORMAT, "model '%s' has no weights", m->display_name);
        return NULL;
    }
    char *text = verbose ? NULL : find(c, m->model_digest);
    bool was_kept = text != NULL;
    if (!text)
        text = read_file(m->model_path, verbose, err);
    if (!text)
        return NULL;
    json_t *card = json_parse(slice_of(text), err);
    if (card && !was_kept && !verbose)
        keep(c, m->model_digest, text, card);
    free(text);
    return card;
}

bool card_find_traits(struct card_cache *c, const struct stored_model *m, struct template_traits *out)
{
    bool is_found = false;
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->n && !is_found; i++) {
        is_found = m->model_digest && strcmp(c->cards[i].digest, m->model_digest) == 0;
        if (is_found)
            *out = c->cards[i].traits;
    }
    pthread_mutex_unlock(&c->lock);
    return is_found;
}

int card_read_traits(struct card_cache *c, const struct stored_model *m, struct template_traits *out,
                     struct err *err)
{
    if (card_find_traits(c, m, out))
        return 0;
    json_t *card = card_read(c, m, false, err);
    if (!card)
        return -1;
    *out = card_traits(card);
    json_decref(card);
    return 0;
}
