// SPDX-License-Identifier: MIT
// Logits of the tiny models, with an f32 cache, against the reference: whole, in parts, token by token, at
// every level.
#include "session.h"

#include <math.h>

static const struct tiny {
    const char *name;
    float tolerance;
} tiny_models[] = {{"llama", 1e-4f},      {"llama-ropefreqs", 5e-4f}, {"llama-tied", 2e-4f},
                   {"llama-bias", 2e-4f}, {"qwen2", 5e-4f},           {"gemma3", 2e-4f}};

static const struct {
    uint32_t sequence, position;
} rows[10] = {{0, 0}, {1, 2}, {1, 4}, {1, 6}, {2, 13}, {2, 26}, {2, 39}, {3, 33}, {3, 66}, {3, 99}};

static uint32_t sequences[4][100], lengths[4];

static void read_sequences(void)
{
    FILE *f = fopen(TEST_DATA "/tiny/sequences.txt", "r");
    char line[1024];
    assert_non_null(f);
    for (int i = 0; i < 4; i++) {
        assert_non_null(fgets(line, sizeof line, f));
        char *at = line, *end;
        for (lengths[i] = 0; lengths[i] < 100; at = end) {
            unsigned long id = strtoul(at, &end, 10);
            if (end == at)
                break;
            sequences[i][lengths[i]++] = (uint32_t)id;
        }
    }
    fclose(f);
    assert_int_equal(lengths[3], 100);
}

// Feeds a sequence in chunks and compares the rows that fall on it. Returns the largest difference.
static float compare(struct session *s, uint32_t sequence, uint32_t chunk, const float *expected)
{
    float worst = 0;
    for (uint32_t at = 0; at < lengths[sequence]; at += chunk) {
        uint32_t n = MIN(chunk, lengths[sequence] - at), columns[100];
        for (uint32_t i = 0; i < n; i++)
            columns[i] = i;
        struct decoder_run run = {s->pages, at, 0, n};
        decoder_run_batch(s->decoder,
                          &(struct decoder_batch){sequences[sequence] + at, n, &run, 1, columns, n});
        for (int r = 0; r < 10; r++) {
            if (rows[r].sequence != sequence || rows[r].position < at || rows[r].position >= at + n)
                continue;
            const float *logits = decoder_logits(s->decoder, rows[r].position - at);
            for (int k = 0; k < 320; k++)
                worst = fmaxf(worst, fabsf(logits[k] - expected[r * 320 + k]));
        }
    }
    return worst;
}

static void check_model(const struct tiny *t, enum cpu_level level)
{
    char path[512];
    float expected[10 * 320];
    snprintf(path, sizeof path, TEST_DATA "/tiny/%s.f32", t->name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(expected, sizeof(float), 3200, f), 3200);
    fclose(f);
    snprintf(path, sizeof path, TEST_DATA "/tiny/%s.gguf.gz", t->name);
    int fd = open_gz(path);
    struct session s;
    session_open_fd(&s, fd, &(struct session_options){level, 2, KV_F32, 112, 100, 100});
    float worst = 0;
    static const uint32_t chunks[] = {100, 16, 1};
    for (size_t c = 0; c < COUNT_OF(chunks); c++)
        for (uint32_t sequence = 0; sequence < 4; sequence++)
            worst = fmaxf(worst, compare(&s, sequence, chunks[c], expected));
    printf("%-16s %-10s largest difference %.2g, tolerance %.2g\n", t->name, cpu_level_name(level),
           (double)worst, (double)t->tolerance);
    assert_true(worst <= t->tolerance);
    session_close(&s);
    close(fd);
}

static void tiny_models_match_the_reference(void **state)
{
    read_sequences();
    for (int level = 0; level <= (int)cpu_best_level(); level++)
        for (size_t i = 0; i < COUNT_OF(tiny_models); i++)
            check_model(&tiny_models[i], (enum cpu_level)level);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tiny_models_match_the_reference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
