// SPDX-License-Identifier: MIT
// Model files that are made of others. The first byte says what the rest is: a GGUF file to be quantised, or
// config.json, tokenizer.json and tokenizer_config.json, each up to a byte 0xff, and then a safetensors file.
// What comes out must be a GGUF file, and the same with two threads.
#include "fuzz.h"

#include "convert/convert.h"
#include "gguf/gguf.h"

enum { N_PARTS = 4, MAX_OUT = 64 << 20 };

struct made {
    struct strbuf bytes;
    uint64_t total;
};

static int push(void *user, const void *bytes, size_t n, struct err *err)
{
    struct made *m = user;
    strbuf_push(&m->bytes, bytes, n);
    return m->bytes.overflow ? err_set(err, ERR_TOO_LARGE, "long") : 0;
}

static int tell(void *user, const char *text, uint64_t done, uint64_t total, struct err *err)
{
    struct made *m = user;
    FUZZ_CHECK(done <= total && text[0] != 0);
    m->total = total;
    return total > MAX_OUT ? err_set(err, ERR_TOO_LARGE, "long") : 0;
}

static int run(const struct convert_job *job, int n_threads, struct made *m, struct err *err)
{
    struct convert_job again = *job;
    const struct convert_output out = {m, push, tell};
    again.n_threads = n_threads;
    m->bytes = STRBUF_INIT(MAX_OUT);
    int rc = convert_run(&again, &out, err);
    fuzz_check_result(rc, err);
    FUZZ_CHECK(rc != 0 || m->bytes.n == 0 || m->bytes.n == m->total);
    return rc;
}

static void check_file(struct slice bytes)
{
    char path[64];
    struct err err = {0};
    struct gguf *g = NULL;
    int fd = fuzz_open_file(bytes, path);
    int rc = gguf_open(&g, fd, &err);
    if (rc != 0)
        fprintf(stderr, "what was made is no GGUF file: %s\n", err.message);
    FUZZ_CHECK(rc == 0);
    gguf_close(g);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const char *const types[] = {"", "Q4_K_M", "q8_0", "F16", "Q5_1", "F32"};
    static const char *const names[N_PARTS] = {"config.json", "tokenizer.json", "tokenizer_config.json",
                                               "model.safetensors"};
    struct slice rest = slice_make((const char *)bytes, n);
    struct convert_file files[N_PARTS];
    struct made one = {0}, two = {0};
    struct err err = {0}, same = {0};
    char path[64];
    unsigned choice = fuzz_take_choice(&rest, 2 * COUNT_OF(types));
    struct convert_job job = {files, choice % 2 == 0 ? 1 : N_PARTS, types[choice / 2], 1};
    for (size_t i = 0; i < job.n_files; i++) {
        bool is_last = i + 1 == job.n_files;
        files[i] = (struct convert_file){names[is_last ? N_PARTS - 1 : i],
                                         fuzz_open_file(is_last ? rest : fuzz_take_part(&rest), path)};
    }
    if (run(&job, 1, &one, &err) == 0 && one.bytes.n > 0) {
        check_file(strbuf_slice(&one.bytes));
        FUZZ_CHECK(run(&job, 2, &two, &same) == 0);
        FUZZ_CHECK(slice_equals(strbuf_slice(&one.bytes), strbuf_slice(&two.bytes)));
    }
    for (size_t i = 0; i < job.n_files; i++)
        close(files[i].fd);
    strbuf_fini(&one.bytes);
    strbuf_fini(&two.bytes);
    return 0;
}
