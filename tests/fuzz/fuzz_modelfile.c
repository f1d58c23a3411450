// SPDX-License-Identifier: MIT
// Modelfiles: the text to commands, the commands to the body of a creation.
#include "fuzz.h"

#include "cli/modelfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct modelfile m;
    struct err err = {0};
    int rc = modelfile_parse(slice_make(bytes, n), &m, &err);
    fuzz_check_result(rc, &err);
    FUZZ_CHECK(rc != 0 || m.n > 0);
    if (rc == 0) {
        struct strbuf warnings = STRBUF_INIT(1 << 20);
        json_t *body = json_object();
        fuzz_check_result(modelfile_fill(&m, body, &warnings, &err), &err);
        json_decref(body);
        strbuf_fini(&warnings);
    }
    modelfile_fini(&m);
    return 0;
}
