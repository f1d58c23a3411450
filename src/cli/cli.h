// SPDX-License-Identifier: MIT
// The commands that talk to a server: they speak HTTP like any client and know nothing of models. Results go
// to stdout, everything else to stderr. Each returns the exit code: 0, 1 (failed, "Error: ..." was printed)
// or 2 (wrong usage). Main thread; the program ends after one of them.
#pragma once

#include "base/args.h"

extern const struct args_flag cli_run_flags[], cli_list_flags[], cli_ps_flags[], cli_show_flags[],
    cli_queue_flags[], cli_top_flags[], cli_pull_flags[], cli_create_flags[];

int cli_run(const struct args *a);    // MODEL [PROMPT...]
int cli_list(const struct args *a);   // [PREFIX]
int cli_ps(const struct args *a);     // [PREFIX]
int cli_show(const struct args *a);   // MODEL
int cli_stop(const struct args *a);   // MODEL
int cli_pull(const struct args *a);   // MODEL
int cli_push(const struct args *a);   // MODEL
int cli_create(const struct args *a); // MODEL
int cli_cp(const struct args *a);     // SOURCE DESTINATION
int cli_rm(const struct args *a);     // MODEL...
int cli_queue(const struct args *a);
int cli_why(const struct args *a);    // ID
int cli_cancel(const struct args *a); // ID
int cli_top(const struct args *a);
int cli_health(const struct args *a);
int cli_signin(const struct args *a); // refused: there are no accounts
int cli_signout(const struct args *a);
int cli_launch(const struct args *a); // [PROGRAM...], refused
int cli_version(void);                // `ollama --version`
