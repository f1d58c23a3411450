// SPDX-License-Identifier: MIT
// MODEL of the commands without a server is a file or an imported name. What looks like a path is one; else a
// name comes first.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/options.h"
#include "inspect/inspect.h"
#include "store/store.h"

static int open_file(const char *path, int *fd, struct err *err)
{
    struct stat st;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO must not hold us
    if (*fd < 0)
        return err_set(err, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
    if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(*fd);
        *fd = -1;
        return err_set(err, ERR_INVALID, "%s: not a regular file", path);
    }
    return 0;
}

static int open_stored(const char *name, int *fd, char **template_text, struct err *err)
{
    char directory[4096];
    struct store *s = NULL;
    struct stored_model m = {0};
    int rc = -1;
    store_default_directory(options_text(OPT_MODELS), directory);
    if (access(directory, F_OK) != 0)
        return err_set(err, ERR_NOT_FOUND, "model '%s' not found", name);
    if (store_open(&s, directory, err) == 0 && store_find(s, name, &m, err) == 0)
        rc = m.model_path != NULL ? open_file(m.model_path, fd, err)
                                  : err_set(err, ERR_FORMAT, "model '%s' has no weights", name);
    if (rc == 0 && m.template_text != NULL && template_text != NULL)
        *template_text = xstrdup(m.template_text);
    stored_model_fini(&m);
    store_close(s);
    return rc;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

int inspect_open_model(const char *name, int *fd, struct err *err)
{
    return inspect_open_template(name, fd, NULL, err);
}

int inspect_open_template(const char *name, int *fd, char **template_text, struct err *err)
{
    struct err why = {0};
    bool is_file = access(name, F_OK) == 0;
    bool looks_like_path = name[0] == '/' || name[0] == '.' || ends_with(name, ".gguf");
    *fd = -1;
    if (template_text != NULL)
        *template_text = NULL;
    if (is_file && looks_like_path)
        return open_file(name, fd, err);
    if (open_stored(name, fd, template_text, &why) == 0)
        return 0;
    bool is_no_name = why.code == ERR_INVALID || why.code == ERR_NOT_FOUND;
    if (is_no_name && is_file)
        return open_file(name, fd, err);
    if (is_no_name)
        return err_set(err, ERR_NOT_FOUND, "model '%s' not found, and there is no such file", name);
    return err_set(err, why.code, "%s", why.message);
}
