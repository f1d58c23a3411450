// SPDX-License-Identifier: MIT
// The door: which of the two ways a job goes.
#include "convert/convert.h"

#include <string.h>
#include <unistd.h>

#include "convert/checkpoint.h"
#include "convert/quantize.h"
#include "convert/recipe.h"

static bool is_gguf(int fd)
{
    char magic[4];
    return pread(fd, magic, sizeof magic, 0) == (ssize_t)sizeof magic && memcmp(magic, "GGUF", 4) == 0;
}

int convert_run(const struct convert_job *job, const struct convert_output *out, struct err *err)
{
    const struct recipe *recipe = NULL;
    if (job->quantize[0] != 0) {
        recipe = recipe_find(job->quantize);
        if (recipe == NULL)
            return err_set(err, ERR_INVALID, "unsupported quantization type %s - supported types are %s",
                           job->quantize, recipe_names());
    }
    if (job->n_files == 1 && is_gguf(job->files[0].fd) && recipe != NULL)
        return quantize_gguf(job, recipe, out, err);
    return checkpoint_convert(job, recipe, out, err);
}
