// SPDX-License-Identifier: MIT
// Each entry is one allocation: its top list, then the bytes of all its tokens. The number of entries is
// bounded by the context of the request.
#include "server/kept.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct kept_logprobs {
    struct token_logprobs *items;
    void **blocks;
    size_t n, capacity;
};

struct kept_logprobs *kept_new(void)
{
    return xcalloc(1, sizeof(struct kept_logprobs));
}

void kept_free(struct kept_logprobs *k)
{
    if (!k)
        return;
    for (size_t i = 0; i < k->n; i++)
        free(k->blocks[i]);
    free(k->blocks);
    free(k->items);
    free(k);
}

static struct logprob copy_one(const struct logprob *from, char **at)
{
    struct logprob to = *from;
    if (from->bytes.n > 0)
        memcpy(*at, from->bytes.at, from->bytes.n);
    to.bytes.at = *at;
    *at += from->bytes.n;
    return to;
}

static void push_one(struct kept_logprobs *k, const struct token_logprobs *t)
{
    size_t bytes = t->chosen.bytes.n;
    for (uint32_t i = 0; i < t->n_top; i++)
        bytes += t->top[i].bytes.n;
    struct logprob *top = xmalloc(t->n_top * sizeof *top + bytes + 1);
    char *at = (char *)(top + t->n_top);
    struct token_logprobs copy = {.n_top = t->n_top, .top = top};
    copy.chosen = copy_one(&t->chosen, &at);
    for (uint32_t i = 0; i < t->n_top; i++)
        top[i] = copy_one(&t->top[i], &at);
    k->blocks[k->n] = top;
    k->items[k->n++] = copy;
}

void kept_push(struct kept_logprobs *k, const struct token_logprobs *items, size_t n)
{
    if (k->n + n > k->capacity) {
        k->capacity = (k->n + n) * 2;
        k->items = xrealloc(k->items, k->capacity * sizeof k->items[0]);
        k->blocks = xrealloc(k->blocks, k->capacity * sizeof k->blocks[0]);
    }
    for (size_t i = 0; i < n; i++)
        push_one(k, &items[i]);
}

const struct token_logprobs *kept_items(const struct kept_logprobs *k, size_t *n)
{
    *n = k->n;
    return k->items;
}
