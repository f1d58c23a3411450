// SPDX-License-Identifier: MIT
// Logits of a sequence are the same bits: alone, in a batch of 2, 8 and 16, with the prompt in chunks of 1,
// 7, 64 and 512, with 1 and 2 threads, at every CPU level.
#include "session.h"

enum { N_IDS = 80, N_ROWS = 4 };

static uint32_t ids[16][N_IDS];
static float *expected; // [N_ROWS][n_vocab], the last positions of ids[0]
static uint32_t n_vocab;

static void take_rows(struct session *s, uint32_t at, uint32_t n, uint32_t n_before, float *rows)
{
    for (uint32_t i = 0, row = 0; i < n; i++)
        if (at + i >= N_IDS - N_ROWS)
            memcpy(rows + (at + i - (N_IDS - N_ROWS)) * n_vocab, decoder_logits(s->decoder, n_before + row++),
                   n_vocab * sizeof *rows);
}

// Runs ids[0..n_seqs) side by side, chunk by chunk, and returns the rows of ids[0].
static float *run(struct session *s, uint32_t n_seqs, uint32_t chunk)
{
    float *rows = xcalloc((size_t)N_ROWS * n_vocab, sizeof *rows);
    uint32_t n_pages = (N_IDS + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
    for (uint32_t at = 0; at < N_IDS; at += chunk) {
        uint32_t n = MIN(chunk, N_IDS - at), batch_ids[16 * N_IDS], columns[N_ROWS], n_columns = 0;
        struct decoder_run runs[16];
        // The sequence under test is the last of the batch.
        for (uint32_t i = 0; i < n_seqs; i++) {
            uint32_t q = n_seqs - 1 - i;
            runs[i] = (struct decoder_run){s->pages + q * n_pages, at, i * n, n};
            memcpy(batch_ids + i * n, ids[q] + at, n * sizeof *batch_ids);
        }
        for (uint32_t i = 0; i < n; i++)
            if (at + i >= N_IDS - N_ROWS)
                columns[n_columns++] = (n_seqs - 1) * n + i;
        decoder_run_batch(s->decoder,
                          &(struct decoder_batch){batch_ids, n * n_seqs, runs, n_seqs, columns, n_columns});
        take_rows(s, at, n, 0, rows);
    }
    return rows;
}

static void check(struct session *s, const char *what, uint32_t n_seqs, uint32_t chunk)
{
    float *rows = run(s, n_seqs, chunk);
    bool same = memcmp(rows, expected, (size_t)N_ROWS * n_vocab * sizeof *rows) == 0;
    printf("%s, batch of %u, chunks of %u: %s\n", what, n_seqs, chunk, same ? "same bits" : "DIFFERENT");
    free(rows);
    assert_true(same);
}

static void check_session(int fd, enum cpu_level level, int n_threads, enum kv_type kv_type, bool all)
{
    struct session s;
    char what[64];
    snprintf(what, sizeof what, "%s, %s cache, %d threads", cpu_level_name(level), kv_type_name(kv_type),
             n_threads);
    session_open_fd(&s, fd,
                    &(struct session_options){level, n_threads, kv_type, 16 * 96, 16 * N_IDS, N_ROWS});
    n_vocab = s.weights.h.n_vocab;
    if (expected == NULL)
        expected = run(&s, 1, 512);
    check(&s, what, 1, 64);
    if (all) {
        static const uint32_t chunks[] = {1, 7, 512}, batches[] = {2, 8, 16};
        for (size_t i = 0; i < COUNT_OF(chunks); i++)
            check(&s, what, 1, chunks[i]);
        for (size_t i = 0; i < COUNT_OF(batches); i++)
            check(&s, what, batches[i], 16);
    }
    session_close(&s);
}

static void check_file(int fd, enum kv_type kv_type, bool with_ref)
{
    for (uint32_t q = 0; q < 16; q++)
        for (uint32_t i = 0; i < N_IDS; i++)
            ids[q][i] = 3 + (q * 131 + i * 7919 + q * i) % 310;
    enum cpu_level best = cpu_best_level();
    check_session(fd, best, 1, kv_type, true);
    check_session(fd, best, 2, kv_type, true);
    check_session(fd, best, 3, kv_type, false);
    for (int level = with_ref ? 0 : 1; level < (int)best; level++)
        check_session(fd, (enum cpu_level)level, 2, kv_type, false);
    free(expected);
    expected = NULL;
}

static void tiny_models_give_the_same_bits(void **state)
{
    static const char *const names[] = {"llama", "gemma3", "qwen2"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char path[512];
        snprintf(path, sizeof path, TEST_DATA "/tiny/%s.gguf.gz", names[i]);
        int fd = open_gz(path);
        for (int type = 0; type < KV_TYPE_COUNT; type++)
            if (type != KV_Q8_0) // its blocks need heads of 32
                check_file(fd, (enum kv_type)type, true);
        close(fd);
    }
}

static void real_models_give_the_same_bits(void **state)
{
    static const char *const files[] = {"smollm2-135m-instruct-q4_1.gguf", "gemma3-270m-q4_k_m.gguf",
                                        "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"};
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        int fd = open_cached_model(files[i]);
        if (fd < 0)
            continue;
        printf("%s\n", files[i]);
        check_file(fd, KV_F16, i == 0);
        close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tiny_models_give_the_same_bits),
                                       cmocka_unit_test(real_models_give_the_same_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
