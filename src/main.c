// SPDX-License-Identifier: MIT
#include <stdio.h>
#include <string.h>

#include "inspect/inspect.h"

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "logits") == 0)
        return inspect_logits(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "tokenize") == 0)
        return inspect_tokenize(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "detokenize") == 0)
        return inspect_detokenize(argc - 1, argv + 1);
    printf("drover %s\n", DROVER_VERSION);
    return argc > 1 && argv[1][0] != '-';
}
