// SPDX-License-Identifier: MIT
// `drover key new`: draws an API key. Prints the key, which is kept nowhere, and the line for the file of
// keys, or appends that line to a file. Main thread.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/keys.h"
#include "server/server.h"

const struct args_flag key_flags[] = {
    {"role", 0, ARGS_TEXT, "infer|admin", "what it may do: ask models, or manage them too; infer"},
    {"name", 0, ARGS_TEXT, "NAME", "whose it is, in logs and queues; \"default\""},
    {"file", 0, ARGS_TEXT, "FILE", "append the line to this file of keys, and print only the key"},
    {NULL},
};

// The file has no secret in it, and a service that runs as another user has to read it.
static int append(const char *path, const char *line, struct err *err)
{
    char text[KEY_LINE_BYTES + 1];
    int n = snprintf(text, sizeof text, "%s\n", line);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    bool is_written = fd >= 0 && write(fd, text, (size_t)n) == n;
    int error = errno;
    if (fd >= 0)
        close(fd);
    return is_written ? 0 : err_set(err, ERR_INTERNAL, "%s: %s", path, strerror(error));
}

static int read_flags(const struct args *a, struct key *key, struct err *err)
{
    const char *name = args_text(a, "name"), *role = args_text(a, "role");
    if (strcmp(a->operands[0], "new") != 0)
        return err_set(err, ERR_INVALID, "unknown: key %s; there is `drover key new`", a->operands[0]);
    if (role && !key_role_find(role, &key->role))
        return err_set(err, ERR_INVALID, "--role: \"%s\" is neither infer nor admin", role);
    if (name && !key_name_is_good(name))
        return err_set(err, ERR_INVALID, "--name: 1 to %d letters, digits and -_.@", KEY_NAME_BYTES - 1);
    snprintf(key->name, sizeof key->name, "%s", name ? name : "default");
    return 0;
}

int key_main(const struct args *a)
{
    struct key key = {.role = KEY_INFER};
    struct err err = {0};
    char secret[KEY_SECRET_BYTES], line[KEY_LINE_BYTES];
    const char *file = args_text(a, "file");
    if (read_flags(a, &key, &err) != 0) {
        fprintf(stderr, "Error: %s\n", err.message);
        return 2;
    }
    int rc = key_draw(&key, secret, &err);
    key_write_line(&key, line);
    if (rc == 0 && file)
        rc = append(file, line, &err);
    if (rc != 0) {
        fprintf(stderr, "Error: %s\n", err.message);
        return 1;
    }
    printf("%s\n", secret);
    if (!file)
        printf("%s\n", line);
    fprintf(stderr,
            file
                ? "This is the key; it is not shown again. A running server reads the file again on SIGHUP.\n"
                : "The first line is the key; it is not shown again. The second belongs into the file of the "
                  "option api_keys.\n");
    return 0;
}
