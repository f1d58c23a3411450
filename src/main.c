// SPDX-License-Identifier: MIT
#include <stdio.h>

int main(int argc, char **argv)
{
    printf("drover %s\n", DROVER_VERSION);
    return argc > 1 && argv[1][0] != '-';
}
