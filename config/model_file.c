#include "config/model_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "base/text.h"
#include "config/json.h"
#include "config/options.h"
#include "config/quote.h"

enum { MODEL_FILE_MAX = 1 << 20, LABELS_FILE_MAX = 1 << 20, LABELS_MAX = 65536 };

/* ---- Paths ---- */

static enum r2_status join(const char *dir, const char *relative, char **ret, struct r2_error *err)
{
    struct r2_text path = {0};
    size_t size = strlen(dir);
    r2_text_add(&path, "%s%s%s", dir, size && dir[size - 1] == '/' ? "" : "/", relative);
    if (path.failed) {
        r2_text_finish(&path);
        return r2_fail(err, R2_NO_MEMORY, "%s: no memory for a path", dir);
    }
    *ret = path.data;
    return R2_OK;
}

enum r2_status r2_model_path(const char *dir, const char *relative, char **ret,
                             struct r2_error *err)
{
    if (!*relative) return r2_fail(err, R2_INVALID, "the path of a file must not be empty");
    if (*relative == '/')
        return r2_fail(err, R2_INVALID, "%s: a path in a model is relative to its directory",
                       r2_quote(relative).text);
    for (const char *part = relative; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || !part[2]))
            return r2_fail(err, R2_INVALID, "%s: a path in a model must not contain \"..\"",
                           r2_quote(relative).text);
    }
    return join(dir, relative, ret, err);
}

static enum r2_status check_directory(const char *dir, struct r2_error *err)
{
    struct stat info;
    if (stat(dir, &info) != 0)
        return r2_fail(err, errno == ENOENT ? R2_NOT_FOUND : R2_IO, "model directory %s: %s",
                       r2_quote(dir).text, strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return r2_fail(err, R2_INVALID, "model directory %s: is not a directory",
                       r2_quote(dir).text);
    return R2_OK;
}

/* ---- model.json ---- */

struct frame {
    char *name, *version;
    json_t *backbone, *heads;
};

static const struct r2_option options[] = {
    {.name = "name", R2_FIELD(TEXT, struct frame, name), .help = "the model's name"},
    {.name = "version", R2_FIELD(TEXT, struct frame, version), .help = "its version"},
    {.name = "backbone", R2_FIELD(OBJECT, struct frame, backbone), .help = "the trunk"},
    {.name = "heads", R2_FIELD(OBJECT, struct frame, heads), .help = "a head for each task"},
};
static const struct r2_option_table table = R2_OPTION_TABLE(options, "key");

static enum r2_status add_head(struct r2_model_file *file, const char *task, json_t *object,
                               struct r2_error *err)
{
    if (!*task || task[strspn(task, "abcdefghijklmnopqrstuvwxyz_")])
        return r2_fail(err, R2_INVALID, "heads: %s is not a task's name of a to z and _",
                       r2_quote(task).text);
    if (!json_is_object(object))
        return r2_fail(err, R2_INVALID, "heads.%s: %s is not an object", task,
                       r2_json_kind(object));
    if (file->head_count == R2_MODEL_HEADS_MAX)
        return r2_fail(err, R2_INVALID, "heads: more than %d", R2_MODEL_HEADS_MAX);
    json_t *type = json_object_get(object, "type");
    if (!type) return r2_fail(err, R2_INVALID, "heads.%s: key \"type\" is missing", task);
    if (!json_is_string(type) || !*json_string_value(type))
        return r2_fail(err, R2_INVALID, "heads.%s: type: must be a string that is not empty", task);
    json_t *rest = json_copy(object);
    if (!rest) return r2_fail(err, R2_NO_MEMORY, "heads.%s: no memory", task);
    json_object_del(rest, "type");
    file->heads[file->head_count++] =
        (struct r2_model_head){.task = task, .type = json_string_value(type), .object = rest};
    return R2_OK;
}

static enum r2_status read_heads(struct r2_model_file *file, json_t *heads, struct r2_error *err)
{
    const char *task;
    json_t *object;
    json_object_foreach(heads, task, object) R2_TRY(add_head(file, task, object, err));
    return R2_OK;
}

/* Leaves in file what it has made so far when it fails. */
static enum r2_status read_model(const char *path, struct r2_model_file *file, struct r2_error *err)
{
    struct frame frame = {0};
    R2_TRY(r2_json_read(path, MODEL_FILE_MAX, &file->root, err));
    R2_TRY(r2_options_read(&table, file->root, path, &frame, err));
    file->name = R2_TAKE(frame.name);
    file->version = R2_TAKE(frame.version);
    file->backbone = frame.backbone; /* root holds it as well */
    enum r2_status status = read_heads(file, frame.heads, err);
    if (status != R2_OK) r2_fail_in(err, "%s", path);
    r2_options_finish(&table, &frame);
    return status;
}

enum r2_status r2_model_file_read(const char *dir, struct r2_model_file *ret, struct r2_error *err)
{
    struct r2_model_file file = {0};
    R2_AUTOFREE char *path = NULL;
    R2_TRY(check_directory(dir, err));
    R2_TRY(join(dir, "model.json", &path, err));
    file.dir = strdup(dir);
    if (!file.dir) return r2_fail(err, R2_NO_MEMORY, "model directory: no memory");
    enum r2_status status = read_model(path, &file, err);
    if (status != R2_OK)
        r2_model_file_finish(&file);
    else
        *ret = file;
    return status;
}

void r2_model_file_finish(struct r2_model_file *file)
{
    if (!file) return;
    for (size_t i = 0; i < file->head_count; i++) json_decref(file->heads[i].object);
    json_decref(file->root);
    free(file->dir);
    free(file->name);
    free(file->version);
    *file = (struct r2_model_file){0};
}

/* ---- Labels ---- */

static enum r2_status check_label(const char *label, size_t size, const char *path, size_t line,
                                  struct r2_error *err)
{
    R2_AUTOFREE char *shown = NULL;
    if (!label[strspn(label, " ")] && strlen(label) == size)
        return r2_fail(err, R2_INVALID, "%s: line %zu is empty", path, line);
    R2_TRY(r2_alloc(size + 1, 1, path, &shown, err));
    r2_text_printable(label, size, shown, size + 1);
    if (memcmp(shown, label, size) != 0)
        return r2_fail(err, R2_INVALID, "%s: line %zu is not UTF-8 without control characters",
                       path, line);
    return R2_OK;
}

/* Cuts data (NUL after its size bytes) into lines and copies them. */
static enum r2_status split_lines(char *data, size_t size, const char *path,
                                  struct r2_labels *labels, struct r2_error *err)
{
    static const char mark[] = "\xEF\xBB\xBF"; /* what Windows editors put in front of UTF-8 */
    char *end = data + size, *line = data;
    if (size >= 3 && memcmp(data, mark, 3) == 0) line += 3;
    while (line < end) {
        char *stop = memchr(line, '\n', (size_t)(end - line));
        if (!stop) stop = end;
        char *next = stop + 1;
        if (stop > line && stop[-1] == '\r') stop--;
        *stop = 0;
        if (labels->count == LABELS_MAX)
            return r2_fail(err, R2_TOO_LARGE, "%s: more than %d labels", path, LABELS_MAX);
        R2_TRY(check_label(line, (size_t)(stop - line), path, labels->count + 1, err));
        labels->names[labels->count] = strdup(line);
        if (!labels->names[labels->count])
            return r2_fail(err, R2_NO_MEMORY, "%s: no memory for labels", path);
        labels->count++;
        line = next;
    }
    if (!labels->count) return r2_fail(err, R2_INVALID, "%s: has no labels", path);
    return R2_OK;
}

static size_t count_lines(const char *data, size_t size)
{
    size_t lines = 1;
    for (size_t i = 0; i < size; i++) lines += data[i] == '\n';
    return lines < LABELS_MAX ? lines : LABELS_MAX;
}

enum r2_status r2_labels_read(const char *path, struct r2_labels *ret, struct r2_error *err)
{
    struct r2_buffer buffer = {0};
    struct r2_labels labels = {0};
    R2_TRY(r2_file_read(path, LABELS_FILE_MAX, &buffer, err));
    char *data = (char *)buffer.data;
    enum r2_status status =
        r2_alloc(count_lines(data, buffer.size), sizeof *labels.names, path, &labels.names, err);
    if (status == R2_OK) status = split_lines(data, buffer.size, path, &labels, err);
    r2_buffer_finish(&buffer);
    if (status != R2_OK)
        r2_labels_finish(&labels);
    else
        *ret = labels;
    return status;
}

void r2_labels_finish(struct r2_labels *labels)
{
    if (!labels) return;
    for (size_t i = 0; i < labels->count; i++) free(labels->names[i]);
    free(labels->names);
    *labels = (struct r2_labels){0};
}
