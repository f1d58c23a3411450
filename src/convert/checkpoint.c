// SPDX-License-Identifier: MIT
#include "convert/checkpoint.h"

int checkpoint_convert(const struct convert_job *job, const struct recipe *recipe,
                       const struct convert_output *out, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "safetensors are not supported");
}
