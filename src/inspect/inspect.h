// SPDX-License-Identifier: MIT
// Commands that look inside without a server. Each takes its own argv (argv[0] is its name), prints results
// on stdout and `Error: ...` on stderr, and returns the exit code: 0 done, 1 failed, 2 wrong usage.
#pragma once

#include "base/args.h"
#include "base/err.h"
#include "base/strbuf.h"

int inspect_logits(int argc, char **argv);
int inspect_tokenize(int argc, char **argv);
int inspect_detokenize(int argc, char **argv);
int inspect_render(int argc, char **argv);
int inspect_simulate(const struct args *a); // [TRACE]
extern const struct args_flag inspect_simulate_flags[];
int inspect_import(const struct args *a); // FILE.gguf|FILE.tar [NAME]
int inspect_export(const struct args *a); // MODEL... -o FILE.tar
int inspect_prune(const struct args *a);

struct store;
int inspect_import_archive(int fd, struct store *s, struct err *err);

// Opens the weights of a model by path or by imported name; *fd is the caller's.
int inspect_open_model(const char *name, int *fd, struct err *err);
// The same with the template that is stored beside the weights: *template_text is the caller's (free), NULL
// where there is none.
int inspect_open_template(const char *name, int *fd, char **template_text, struct err *err);
// Appends all of standard input; ERR_TOO_LARGE beyond the buffer's cap.
int inspect_read_input(struct strbuf *out, struct err *err);
