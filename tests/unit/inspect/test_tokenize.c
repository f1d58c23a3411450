// SPDX-License-Identifier: MIT
// `drover tokenize` and `drover detokenize` as a person runs them, on a file that holds only a small
// vocabulary. argv[1] is the program.
#include "../test.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "gguf/gguf_write.h"

static char *program;
static char directory[] = "/tmp/drover-inspect-XXXXXX";

static void write_file(const char *name, const void *bytes, size_t n)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static void write_vocabulary(void)
{
    static const struct slice texts[] = {{"<unk>", 5}, {"<s>", 3}, {"</s>", 4},        {"a", 1},
                                         {"b", 1},     {"ab", 2},  {"\xE2\x96\x81", 3}};
    static const int32_t types[] = {2, 3, 3, 1, 1, 1, 1};
    static const float scores[] = {0, 0, 0, -2, -3, -1, -4};
    char path[200];
    struct err err = {0};
    struct gguf_writer *w = gguf_writer_new(32);
    gguf_writer_set_string(w, "tokenizer.ggml.model", slice_of("llama"));
    gguf_writer_set_strings(w, "tokenizer.ggml.tokens", texts, COUNT_OF(texts));
    gguf_writer_set_array(w, "tokenizer.ggml.token_type", GGUF_I32, types, COUNT_OF(types));
    gguf_writer_set_array(w, "tokenizer.ggml.scores", GGUF_F32, scores, COUNT_OF(scores));
    gguf_writer_set_bool(w, "tokenizer.ggml.add_space_prefix", false);
    snprintf(path, sizeof path, "%s/vocab.gguf", directory);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(gguf_writer_write(w, fd, &err), 0);
    close(fd);
    gguf_writer_free(w);
}

// Runs the program with `arguments` in the directory, `input` on stdin. Output of both kinds goes into out.
static int run(const char *arguments, struct slice input, struct strbuf *out)
{
    char command[1000], buffer[4096];
    write_file("input", input.at, input.n);
    snprintf(command, sizeof command, "cd %s && exec '%s' %s < input 2>&1", directory, program, arguments);
    FILE *f = popen(command, "re");
    assert_non_null(f);
    strbuf_reset(out);
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, f)) > 0;)
        strbuf_push(out, buffer, n);
    strbuf_text(out);
    int status = pclose(f);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void gives(const char *arguments, struct slice input, int exit_code, const char *wanted)
{
    struct strbuf out = STRBUF_INIT(1 << 20);
    int got = run(arguments, input, &out);
    if (got != exit_code || strstr(out.at, wanted) == NULL || (exit_code == 0 && strcmp(out.at, wanted) != 0))
        fail_msg("%s: exit code %d, wanted %d: \"%s\", wanted \"%s\"", arguments, got, exit_code, out.at,
                 wanted);
    strbuf_fini(&out);
}

static void text_to_ids(void **state)
{
    gives("tokenize vocab.gguf", slice_of("ab a</s>"), 0, "[5,6,3,2]\n");
    gives("tokenize vocab.gguf --bos", slice_of("ab"), 0, "[1,5]\n");
    gives("tokenize --plain vocab.gguf", slice_of("a</s>"), 0, "[3,0,0,0,0]\n");
    gives("tokenize vocab.gguf", slice_of(""), 0, "[]\n");
    gives("tokenize vocab.gguf", slice_make("\0", 1), 0, "[0]\n");
}

static void ids_to_bytes(void **state)
{
    gives("detokenize vocab.gguf", slice_of(" [5, 6,3 ,2]\n"), 0, "ab a</s>");
    gives("detokenize vocab.gguf", slice_of("[]"), 0, "");
}

static void wrong_input_is_told(void **state)
{
    gives("detokenize vocab.gguf", slice_of("[1,7]"), 1, "Error: element 1 is not an id below 7");
    gives("detokenize vocab.gguf", slice_of("[-1]"), 1, "Error: element 0");
    gives("detokenize vocab.gguf", slice_of("[1.5]"), 1, "Error: element 0");
    gives("detokenize vocab.gguf", slice_of("{}"), 1, "Error: standard input is not a JSON array of ids");
    gives("detokenize vocab.gguf", slice_of("[1"), 1, "Error: ");
    gives("tokenize absent.gguf", slice_of(""), 1, "Error: ");
    gives("tokenize ./input", slice_of("no model"), 1, "not a GGUF file");
    gives("tokenize", slice_of(""), 2, "Usage");
    gives("tokenize vocab.gguf --nix", slice_of(""), 2, "Usage");
    gives("detokenize vocab.gguf vocab.gguf", slice_of(""), 2, "Usage");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_to_ids),
        cmocka_unit_test(ids_to_bytes),
        cmocka_unit_test(wrong_input_is_told),
    };
    if (argc != 2 || mkdtemp(directory) == NULL)
        return 1;
    program = realpath(argv[1], NULL); // it is run from another directory
    if (program == NULL)
        return 1;
    write_vocabulary();
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    char path[200];
    static const char *const files[] = {"/vocab.gguf", "/input", ""};
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        snprintf(path, sizeof path, "%s%s", directory, files[i]);
        remove(path);
    }
    free(program);
    return n_failed;
}
