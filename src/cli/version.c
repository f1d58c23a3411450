// SPDX-License-Identifier: MIT
// `ollama --version`: the version of the server, as Ollama's program tells it. The first line always comes,
// so that a script that reads a number from it needs no server; warnings go to stderr.
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "base/program.h"
#include "cli/api.h"

int cli_version(void)
{
    struct err err = {0};
    json_t *answer = NULL;
    bool is_there = api_call("/api/version", slice_of(NULL), &answer, &err) == 0;
    const char *version = api_text(answer, "version");
    if (version[0] == 0)
        version = OLLAMA_VERSION;
    printf("ollama version is %s\n", version);
    if (!is_there)
        fprintf(stderr, "Warning: could not connect to a running Ollama instance\n");
    if (!is_there || strcmp(version, OLLAMA_VERSION) != 0)
        fprintf(stderr, "Warning: client version is %s\n", OLLAMA_VERSION);
    json_decref(answer);
    return 0;
}
