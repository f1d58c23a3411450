// SPDX-License-Identifier: MIT
#include "convert/input.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { MAX_JSON_BYTES = 128 << 20 }; // the largest tokenizer.json has 33 MB

int input_map(struct input *in, int fd, uint64_t max_bytes, struct err *err)
{
    struct stat st;
    *in = (struct input){NULL, 0};
    if (fstat(fd, &st) != 0)
        return err_set(err, ERR_INTERNAL, "cannot look at the file: %s", strerror(errno));
    if (!S_ISREG(st.st_mode) || st.st_size == 0)
        return err_set(err, ERR_FORMAT, "an empty file");
    if ((uint64_t)st.st_size > max_bytes)
        return err_set(err, ERR_FORMAT, "more than %llu MiB", (unsigned long long)max_bytes >> 20);
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return err_set(err, ERR_NO_MEMORY, "cannot map the file: %s", strerror(errno));
    *in = (struct input){map, (size_t)st.st_size};
    return 0;
}

void input_unmap(struct input *in)
{
    if (in->at != NULL)
        munmap((void *)in->at, in->n);
    *in = (struct input){NULL, 0};
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

int input_find(const struct convert_job *job, const char *name, const struct convert_file **out,
               struct err *err)
{
    *out = NULL;
    for (size_t i = 0; i < job->n_files; i++) {
        if (strcmp(base_name(job->files[i].name), name) != 0)
            continue;
        if (*out != NULL)
            return err_set(err, ERR_INVALID, "%s is there twice", name);
        *out = &job->files[i];
    }
    return 0;
}

int input_read_json(const struct convert_job *job, const char *name, json_t **out, struct err *err)
{
    const struct convert_file *file;
    struct input in = {NULL, 0};
    struct err why = {0};
    *out = NULL;
    if (input_find(job, name, &file, err) != 0)
        return -1;
    if (file == NULL)
        return 0;
    if (input_map(&in, file->fd, MAX_JSON_BYTES, &why) == 0)
        *out = json_parse(slice_make(in.at, in.n), &why);
    input_unmap(&in);
    if (json_is_object(*out))
        return 0;
    json_decref(*out);
    *out = NULL;
    return err_set(err, ERR_FORMAT, "%s: %s", name, why.message[0] ? why.message : "no JSON object");
}

static const json_t *find(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

int input_get_u32(const json_t *object, const char *key, uint32_t *out, struct err *err)
{
    const json_t *value = find(object, key);
    if (value == NULL)
        return 0;
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > UINT32_MAX)
        return err_set(err, ERR_FORMAT, "'%s' is no number from 0 to %u", key, UINT32_MAX);
    *out = (uint32_t)json_integer_value(value);
    return 0;
}

int input_get_f32(const json_t *object, const char *key, float *out, struct err *err)
{
    const json_t *value = find(object, key);
    if (value == NULL)
        return 0;
    float number = (float)json_number_value(value);
    if (!json_is_number(value) || !isfinite(number))
        return err_set(err, ERR_FORMAT, "'%s' is no number", key);
    *out = number;
    return 0;
}

int input_get_bool(const json_t *object, const char *key, bool *out, struct err *err)
{
    const json_t *value = find(object, key);
    if (value == NULL)
        return 0;
    if (!json_is_boolean(value))
        return err_set(err, ERR_FORMAT, "'%s' is neither true nor false", key);
    *out = json_is_true(value);
    return 0;
}
