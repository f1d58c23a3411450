// SPDX-License-Identifier: MIT
// What else the environment says: where the person's files live, the editor, the terminal. A part of the
// option table (the only reader of the environment). An XDG variable that is no absolute path counts as
// unset, as its specification wants.
#include "base/paths.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/options.h"

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL ? value : "";
}

const char *options_home(void)
{
    static char home[4096];
    const char *value = variable("HOME");
    if (value[0] != '/') {
        const struct passwd *person = getpwuid(getuid());
        value = person != NULL && person->pw_dir[0] == '/' ? person->pw_dir : "/";
    }
    snprintf(home, sizeof home, "%s", value);
    for (size_t n = strlen(home); n > 0 && home[n - 1] == '/'; n--)
        home[n - 1] = 0; // "/" becomes "", so that paths put behind it stay right
    return home;
}

static void directory(const char *name, const char *below_home, char out[4096])
{
    const char *value = variable(name);
    size_t n = strlen(value);
    while (n > 0 && value[n - 1] == '/')
        n--;
    if (value[0] == '/')
        snprintf(out, 4096, "%.*s/drover", (int)n, value);
    else
        snprintf(out, 4096, "%s/%s/drover", options_home(), below_home);
}

void options_config_dir(char out[4096])
{
    directory("XDG_CONFIG_HOME", ".config", out);
}

void options_cache_dir(char out[4096])
{
    directory("XDG_CACHE_HOME", ".cache", out);
}

void options_data_dir(char out[4096])
{
    directory("XDG_DATA_HOME", ".local/share", out);
}

void options_state_dir(char out[4096])
{
    directory("XDG_STATE_HOME", ".local/state", out);
}

const char *options_editor(void)
{
    const char *const candidates[] = {options_text(OPT_EDITOR), variable("VISUAL"), variable("EDITOR")};
    for (int i = 0; i < 3; i++)
        if (candidates[i][0] != 0)
            return candidates[i];
    return "vi";
}

bool options_terminal_is_dumb(void)
{
    const char *term = variable("TERM");
    return term[0] == 0 || strcmp(term, "dumb") == 0;
}

bool options_no_color(void)
{
    return variable("NO_COLOR")[0] != 0;
}

static uint64_t number(const char *name)
{
    const char *text = variable(name);
    return text[0] >= '0' && text[0] <= '9' ? strtoull(text, NULL, 10) : 0;
}

void options_take_service(struct options_service *out)
{
    static const char *const names[] = {"NOTIFY_SOCKET",  "LISTEN_FDS",    "LISTEN_PID",
                                        "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID"};
    uint64_t own_pid = (uint64_t)getpid(), watchdog_pid = number("WATCHDOG_PID");
    *out = (struct options_service){0};
    if (strlen(variable("NOTIFY_SOCKET")) < sizeof out->notify_socket)
        snprintf(out->notify_socket, sizeof out->notify_socket, "%s", variable("NOTIFY_SOCKET"));
    if (number("LISTEN_PID") == own_pid)
        out->n_listen_fds = (int)MIN(number("LISTEN_FDS"), 1000u);
    if (watchdog_pid == 0 || watchdog_pid == own_pid)
        out->watchdog_us = number("WATCHDOG_USEC");
    for (size_t i = 0; i < COUNT_OF(names); i++)
        unsetenv(names[i]);
}
