// SPDX-License-Identifier: MIT
// Making a GGUF file out of another model file: quantising one, or converting a checkpoint of safetensors.
// The result is a stream of bytes, made a piece at a time: what is held in memory is the metadata and a few
// MiB. Runs only in a runner's process, inside the sandbox, never in the front: the files are not trusted.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct convert_file {
    const char *name; // "model.safetensors"
    int fd;           // the caller's
};

struct convert_job {
    const struct convert_file *files; // one GGUF file, or the files of a checkpoint
    size_t n_files;
    const char *quantize; // "Q4_K_M", in any case; "" keeps the precision of a checkpoint
    int n_threads;
};

struct convert_output {
    void *user;
    // The next bytes of the file.
    int (*push)(void *user, const void *bytes, size_t n, struct err *err);
    // What is being done, and how much of it: "quantizing F16 model to Q4_K_M". -1 (with the error) ends it.
    int (*tell)(void *user, const char *text, uint64_t done, uint64_t total, struct err *err);
};

// Nothing is pushed when the file has the asked type already. ERR_FORMAT says what of a file is broken,
// ERR_UNSUPPORTED names what is not supported, ERR_INVALID what was asked for and cannot be. One thread calls
// it.
int convert_run(const struct convert_job *job, const struct convert_output *out, struct err *err);
