// SPDX-License-Identifier: MIT
// The files of a checkpoint: mapped, and the small ones read as JSON. Private to convert/.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "convert/convert.h"
#include "json/json.h"

struct input {
    const char *at;
    size_t n;
};

// Reads of a file that is shortened meanwhile end the process, which the front sees.
int input_map(struct input *in, int fd, uint64_t max_bytes, struct err *err);
void input_unmap(struct input *in); // takes an empty one

// The file whose path ends in this name; NULL: none. ERR_INVALID when there are two.
int input_find(const struct convert_job *job, const char *name, const struct convert_file **out,
               struct err *err);
// The named file as a JSON object (the caller's). *out NULL without an error: there is none.
int input_read_json(const struct convert_job *job, const char *name, json_t **out, struct err *err);

// Members. Absent or null: *out keeps its value. Another type, or out of range: ERR_FORMAT with the name.
int input_get_u32(const json_t *object, const char *key, uint32_t *out, struct err *err);
int input_get_f32(const json_t *object, const char *key, float *out, struct err *err);
int input_get_bool(const json_t *object, const char *key, bool *out, struct err *err);
