// SPDX-License-Identifier: MIT
// `drover health`: whether the server is ready, for the health checks of containers and scripts.
#include "cli/cli.h"

#include "cli/api.h"

int cli_health(const struct args *a)
{
    struct err err = {0};
    if (api_probe("/health/ready", &err) != 0)
        return api_fail(&err);
    puts("ready");
    return 0;
}
