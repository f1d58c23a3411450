// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "inspect/inspect.h"

int inspect_open_model(const char *name, int *fd, struct err *err)
{
    *fd = open(name, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return err_set(err, ERR_NOT_FOUND, "%s: %s", name, strerror(errno));
    return 0;
}
