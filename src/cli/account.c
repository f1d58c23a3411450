// SPDX-License-Identifier: MIT
// What Ollama's program does with its makers' cloud: refused by name, and what to do instead is said.
#include "cli/cli.h"

#include <stdio.h>

#include "base/program.h"

int cli_signin(const struct args *a)
{
    fprintf(stderr,
            "Error: there are no accounts here: models run on the server's machine. A registry that asks for "
            "a key knows ~/.ollama/id_ed25519.pub\n");
    return 1;
}

int cli_signout(const struct args *a)
{
    fprintf(stderr, "You are not signed in: there are no accounts here\n");
    return 0;
}

int cli_launch(const struct args *a)
{
    fprintf(
        stderr,
        "Error: '%s launch' is not supported: start the program yourself and give it the server's address\n",
        program_name());
    return 1;
}
