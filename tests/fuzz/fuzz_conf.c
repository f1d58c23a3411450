// SPDX-License-Identifier: MIT
// drover.conf, and each option's value: names of models are read as the server does.
#include "fuzz.h"

#include "base/option_value.c" // its texts are kept for ever: here until the next input

#include "base/conf.h"
#include "store/name.h"

static int read_name(const char *text, char out[OPTION_MODEL_NAME_BYTES], struct err *err)
{
    struct model_name name;
    if (name_parse(&name, text, err) != 0)
        return -1;
    name_format(&name, out);
    return 0;
}

static void forget_texts(void)
{
    while (all_kept != NULL) {
        struct kept *next = all_kept->next;
        free(all_kept);
        all_kept = next;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char path[64];
    struct conf conf;
    struct err err = {0};
    int64_t ns = 0;
    char *text = xstrndup((const char *)bytes, n);
    int fd = fuzz_open_file(slice_make(bytes, n), path);
    fuzz_check_result(conf_read(&conf, path, read_name, &err), &err);
    conf_fini(&conf);
    close(fd);
    err_clear(&err);
    fuzz_check_result(duration_parse(text, &ns, &err), &err);
    for (enum option_id id = 0; id < OPTION_COUNT; id++) {
        struct option_value value;
        struct err why = {0};
        fuzz_check_result(option_value_read_ollama(&value, options_type(id), options_help(id), text, &why),
                          &why);
    }
    free(text);
    forget_texts();
    return 0;
}
