// SPDX-License-Identifier: MIT
// What structured output costs, with the vocabulary of a model file: sorting it once, compiling a schema, and
// at every place of an answer the check of a token and the mask, first and again. No weights are computed.
//
// usage: bench_format FILE.gguf...
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "model/vocab.h"
#include "text/constraint.h"
#include "text/matcher.h"

static const struct {
    const char *name, *schema, *text;
} cases[] = {
    {"any object", "\"json\"",
     "{\"name\": \"Ada\", \"age\": 36, \"tags\": [\"a\", \"bc\", {\"x\": null}], \"text\": \"A longer text "
     "of some words.\"}"},
    {"record",
     "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"age\":{\"type\":\"integer\","
     "\"minimum\":0,"
     "\"maximum\":150},\"mail\":{\"type\":\"string\",\"format\":\"email\"},\"color\":{\"enum\":[\"red\","
     "\"green\",\"blue\"]},"
     "\"list\":{\"type\":\"array\",\"items\":{\"type\":\"number\"}}},\"required\":[\"name\",\"age\",\"mail\","
     "\"color\",\"list\"]}",
     "{\"name\": \"Ada Lovelace\", \"age\": 36, \"mail\": \"ada@example.org\", \"color\": \"green\", "
     "\"list\": [1, 2.5, -3e2]}"},
    {"pattern and length",
     "{\"type\":\"string\",\"pattern\":\"^[a-z]+( [a-z]+)*$\",\"minLength\":10,\"maxLength\":200}",
     "\"some words in a row that are long enough for this\""},
    {"text of 500", "{\"type\":\"string\",\"maxLength\":500}",
     "\"some words in a row that are long enough for this\""},
};

// Of this thread: what runs beside it does not count.
static int64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct spans {
    double sum_ns, max_ns;
    uint32_t n;
};

static void add(struct spans *s, int64_t since_ns)
{
    double ns = (double)(cpu_ns() - since_ns);
    s->sum_ns += ns;
    s->max_ns = MAX(s->max_ns, ns);
    s->n++;
}

static void print(const char *what, const struct spans *s)
{
    printf("  %-14s %8.1f us, at most %8.1f us\n", what, s->n > 0 ? s->sum_ns / s->n / 1e3 : 0,
           s->max_ns / 1e3);
}

static uint32_t count_bits(const uint64_t *bits, uint32_t n)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < (n + 63) / 64; i++)
        count += (uint32_t)__builtin_popcountll(bits[i]);
    return count;
}

// The text of a case token by token, with a mask at every place.
static void measure(const struct tokenizer *t, const struct pieces *p, size_t which)
{
    struct err err = {0};
    struct constraint *c;
    struct tokens ids = {0};
    struct spans check = {0}, first = {0}, again = {0};
    uint64_t n_allowed = 0;
    int64_t began = cpu_ns();
    if (constraint_new(&c, &(struct constraint_spec){.format = slice_of(cases[which].schema)}, &err) != 0) {
        printf("%s\n", err.message);
        return;
    }
    double compile_us = (double)(cpu_ns() - began) / 1e3;
    struct matcher *m = matcher_new(constraint_grammar(c));
    tokenizer_encode(t, slice_of(cases[which].text), false, &ids);
    for (size_t i = 0; i < ids.n; i++) {
        began = cpu_ns();
        const uint64_t *bits = matcher_mask(m, p);
        add(&first, began);
        n_allowed += count_bits(bits, p->n_vocab);
        began = cpu_ns();
        matcher_mask(m, p);
        add(&again, began);
        began = cpu_ns();
        bool taken = matcher_push_token(m, t, ids.at[i]);
        add(&check, began);
        if (!taken)
            printf("  token %u is not taken\n", ids.at[i]);
    }
    printf(" %s: compiled in %.0f us, %zu tokens, %llu allowed on average%s\n", cases[which].name, compile_us,
           ids.n, (unsigned long long)(n_allowed / MAX(ids.n, 1ul)), matcher_may_end(m) ? "" : ", NOT WHOLE");
    print("mask", &first);
    print("mask again", &again);
    print("check", &check);
    matcher_free(m);
    constraint_free(c);
    tokens_fini(&ids);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct err err = {0};
        struct gguf *g = NULL;
        struct tokenizer *t = NULL;
        int fd = open(argv[i], O_RDONLY | O_CLOEXEC);
        if (fd < 0 || gguf_open(&g, fd, &err) != 0 || vocab_load(&t, g, &err) != 0) {
            printf("%s: %s\n", argv[i], fd < 0 ? "cannot be opened" : err.message);
            return 1;
        }
        int64_t began = cpu_ns();
        struct pieces *p = pieces_new(t);
        printf("%s: %u tokens, sorted in %.1f ms\n", argv[i], p->n_vocab, (double)(cpu_ns() - began) / 1e6);
        for (size_t k = 0; k < COUNT_OF(cases); k++)
            measure(t, p, k);
        pieces_free(p);
        tokenizer_free(t);
        gguf_close(g);
        close(fd);
    }
    return 0;
}
