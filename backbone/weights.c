#include "backbone/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

enum { NAMES_SHOWN = 4 };

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* Where `end` begins in text, or NULL. */
static const char *find_end(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0 ? text + size - end_size
                                                                        : NULL;
}

enum r2_status r2_weights_add(struct r2_weights *weights, struct r2_safetensors *file,
                              struct r2_error *err)
{
    for (size_t i = 0; i < weights->count; i++)
        if (weights->files[i] == file)
            return r2_fail(err, R2_INVALID, "%s: is named twice", file->path);
    if (weights->count == R2_WEIGHTS_MAX_FILES)
        return r2_fail(err, R2_INVALID, "%s: over %d files", file->path, R2_WEIGHTS_MAX_FILES);
    for (size_t i = 0; i < file->count; i++)
        if (r2_weights_find(weights, file->entries[i].name))
            return r2_fail(err, R2_INVALID, "%s: tensor '%.128s' stands in another file too",
                           file->path, file->entries[i].name);
    weights->files[weights->count++] = file;
    return R2_OK;
}

/* *ret_path is that of the tensor's file. */
static struct r2_tensor_entry *find_in_files(const struct r2_weights *weights, const char *name,
                                             const char **ret_path)
{
    struct r2_tensor_entry *entry = NULL;
    for (size_t i = 0; i < weights->count && !entry; i++) {
        entry = r2_safetensors_find(weights->files[i], name);
        *ret_path = weights->files[i]->path;
    }
    return entry;
}

struct r2_tensor_entry *r2_weights_find(const struct r2_weights *weights, const char *name)
{
    const char *path;
    return find_in_files(weights, name, &path);
}

enum r2_status r2_weights_missing(const struct r2_weights *weights, const char *name,
                                  struct r2_error *err)
{
    const char *best[NAMES_SHOWN] = {NULL};
    size_t distances[NAMES_SHOWN];
    R2_CLEANUP(r2_text_finish) struct r2_text list = {0};
    for (size_t f = 0; f < weights->count; f++) {
        for (size_t i = 0; i < weights->files[f]->count; i++) {
            const char *other = weights->files[f]->entries[i].name;
            size_t distance = r2_text_distance(name, other), at = NAMES_SHOWN;
            while (at > 0 && (!best[at - 1] || distance < distances[at - 1])) at--;
            if (at == NAMES_SHOWN) continue;
            for (size_t k = NAMES_SHOWN - 1; k > at; k--) {
                best[k] = best[k - 1];
                distances[k] = distances[k - 1];
            }
            best[at] = other;
            distances[at] = distance;
        }
    }
    for (size_t i = 0; i < NAMES_SHOWN && best[i]; i++)
        r2_text_add(&list, "%s%.100s", i ? ", " : "", best[i]);
    return r2_fail(err, R2_NOT_FOUND, "%s: tensor '%s' is missing; the nearest names are: %s",
                   weights->count ? weights->files[0]->path : "no file", name, r2_text_view(&list));
}

enum r2_status r2_weights_take(const struct r2_weights *weights, const char *name, unsigned rank,
                               const uint64_t *dims, const struct r2_tensor_entry **ret,
                               struct r2_error *err)
{
    char wanted[128], found[128];
    const char *path = NULL;
    struct r2_tensor_entry *entry = find_in_files(weights, name, &path);
    if (!entry) return r2_weights_missing(weights, name, err);
    bool same = entry->rank == rank;
    for (unsigned i = 0; same && i < rank; i++) same = entry->dims[i] == dims[i];
    if (!same) {
        r2_tensor_shape_text(rank, dims, wanted, sizeof wanted);
        r2_tensor_shape_text(entry->rank, entry->dims, found, sizeof found);
        return r2_fail(err, R2_INVALID, "%s: tensor '%s' has shape %s, the network needs %s", path,
                       name, found, wanted);
    }
    if (entry->dtype == R2_DTYPE_OTHER)
        return r2_fail(err, R2_UNSUPPORTED, "%s: tensor '%s' is not F32, F16 or BF16", path, name);
    if (!entry->taken) entry->taken = true; /* plans made later only read it */
    *ret = entry;
    return R2_OK;
}

void r2_naming_find_classifier(const struct r2_weights *weights, struct r2_naming *naming)
{
    static const char *const forms[] = {"%sfc", "%shead.fc", "fc", "head.fc", "module.head.fc"};
    char name[R2_NAME_SIZE];
    for (size_t i = 0; i < R2_COUNT(forms); i++) {
        const char *rest = starts_with(forms[i], "%s") ? forms[i] + 2 : forms[i];
        const char *prefix = rest == forms[i] ? "" : naming->prefix;
        int size = snprintf(name, sizeof name, "%s%s.weight", prefix, rest);
        if (size < 0 || (size_t)size >= sizeof naming->classifier) continue;
        if (!r2_weights_find(weights, name)) continue;
        memcpy(naming->classifier, name, (size_t)size - strlen(".weight"));
        return;
    }
    snprintf(naming->classifier, sizeof naming->classifier, "fc");
}

enum r2_status r2_naming_detect(const struct r2_weights *weights, struct r2_naming *ret,
                                struct r2_error *err)
{
    static const char anchor[] = "layer1.0.conv1.weight";
    struct r2_naming naming = {0};
    const char *first = NULL;
    char name[R2_NAME_SIZE];
    for (size_t f = 0; f < weights->count; f++) {
        for (size_t i = 0; i < weights->files[f]->count; i++) {
            const char *candidate = weights->files[f]->entries[i].name;
            const char *end = find_end(candidate, anchor);
            if (!end || (end != candidate && end[-1] != '.')) continue;
            if (first)
                return r2_fail(err, R2_INVALID, "%s: has two trunks, '%.128s' and '%.128s'",
                               weights->files[f]->path, first, candidate);
            first = candidate;
            if ((size_t)(end - candidate) >= sizeof naming.prefix)
                return r2_fail(err, R2_INVALID, "%s: the prefix of '%.128s' is over %zu bytes",
                               weights->files[f]->path, candidate, sizeof naming.prefix - 1);
            memcpy(naming.prefix, candidate, (size_t)(end - candidate));
        }
    }
    if (!first)
        return r2_fail(err, R2_NOT_FOUND, "%s: no tensor's name ends in '%s': not a Res2Net trunk",
                       weights->count ? weights->files[0]->path : "no file", anchor);
    snprintf(name, sizeof name, "%sstem.0.weight", naming.prefix);
    naming.stem_sequence = r2_weights_find(weights, name) != NULL;
    r2_naming_find_classifier(weights, &naming);
    *ret = naming;
    return R2_OK;
}

static bool is_trunk(const char *official)
{
    return starts_with(official, "conv1.") || starts_with(official, "bn1.") ||
           starts_with(official, "layer");
}

/* Bytes of the trunk's prefix that its neighbours have too: "module." of "module.backbone." */
static size_t shared_prefix(const char *prefix)
{
    static const char *const own[] = {"backbone.", "encoder.model.", "encoder.", "base.resnet."};
    for (size_t i = 0; i < R2_COUNT(own); i++) {
        const char *end = find_end(prefix, own[i]);
        if (end) return (size_t)(end - prefix);
    }
    return strlen(prefix);
}

enum r2_status r2_naming_apply(const struct r2_naming *naming, const char *official, char *ret,
                               struct r2_error *err)
{
    const char *prefix = naming->prefix, *middle = "", *rest = official;
    size_t prefix_size = is_trunk(official) ? strlen(prefix) : shared_prefix(prefix);
    if (starts_with(official, "fc.")) {
        prefix = naming->classifier;
        prefix_size = strlen(prefix);
        rest = official + 2;
    } else if (naming->stem_sequence && starts_with(official, "conv1.")) {
        middle = "stem.";
        rest = official + 6;
    } else if (naming->stem_sequence && starts_with(official, "bn1.")) {
        middle = "stem.7.";
        rest = official + 4;
    }
    int size = snprintf(ret, R2_NAME_SIZE, "%.*s%s%s", (int)prefix_size, prefix, middle, rest);
    if (size < 0 || size >= R2_NAME_SIZE)
        return r2_fail(err, R2_INVALID, "tensor name '%.64s...' is over %d bytes", ret,
                       R2_NAME_SIZE - 1);
    return R2_OK;
}

bool r2_naming_is_classifier(const struct r2_naming *naming, const char *name)
{
    size_t classifier = strlen(naming->classifier);
    if (starts_with(name, "fc.") || starts_with(name, "head.fc.")) return true;
    return strncmp(name, naming->classifier, classifier) == 0 && name[classifier] == '.';
}

/* What may stay unused in any model: counters of training, and heads that only training used. */
static bool is_ignorable(const char *name)
{
    return find_end(name, ".num_batches_tracked") || starts_with(name, "auxiliary_head.") ||
           starts_with(name, "aux_classifier.") || starts_with(name, "classification_head.");
}

enum r2_status r2_weight_files_open(struct r2_weight_files *files, const char *path,
                                    struct r2_weights *weights, struct r2_error *err)
{
    for (size_t i = 0; i < files->count; i++)
        if (strcmp(files->files[i]->path, path) == 0)
            return r2_weights_add(weights, files->files[i], err);
    if (files->count == R2_WEIGHTS_MAX_FILES)
        return r2_fail(err, R2_INVALID, "%s: over %d files", path, R2_WEIGHTS_MAX_FILES);
    struct r2_safetensors *file;
    R2_TRY(r2_alloc(1, sizeof *file, path, &file, err));
    if (r2_safetensors_open(path, file, err) != R2_OK) {
        free(file);
        return err->status;
    }
    files->files[files->count++] = file;
    return r2_weights_add(weights, file, err);
}

void r2_weight_files_close(struct r2_weight_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        r2_safetensors_close(files->files[i]);
        free(files->files[i]);
    }
    files->count = 0;
}

static bool uses_classifier(const struct r2_safetensors *file, const struct r2_naming *naming)
{
    for (size_t i = 0; i < file->count; i++)
        if (file->entries[i].taken && r2_naming_is_classifier(naming, file->entries[i].name))
            return true;
    return false;
}

/* A classifier's tensor, where none is read from the file. */
static bool is_unused_classifier(const struct r2_safetensors *file,
                                 const struct r2_tensor_entry *entry,
                                 const struct r2_naming *const *namings, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (r2_naming_is_classifier(namings[i], entry->name) && !uses_classifier(file, namings[i]))
            return true;
    return false;
}

enum r2_status r2_weight_files_check_taken(const struct r2_weight_files *files,
                                           const struct r2_naming *const *namings,
                                           size_t naming_count, struct r2_error *err)
{
    R2_CLEANUP(r2_text_finish) struct r2_text list = {0};
    size_t count = 0;
    const char *path = NULL;
    for (size_t f = 0; f < files->count; f++) {
        const struct r2_safetensors *file = files->files[f];
        for (size_t i = 0; i < file->count; i++) {
            const struct r2_tensor_entry *entry = &file->entries[i];
            if (entry->taken || is_ignorable(entry->name)) continue;
            if (is_unused_classifier(file, entry, namings, naming_count)) continue;
            if (!path) path = file->path;
            if (count++ < NAMES_SHOWN)
                r2_text_add(&list, "%s'%.128s'", count > 1 ? ", " : "", entry->name);
        }
    }
    if (!count) return R2_OK;
    return r2_fail(err, R2_INVALID,
                   "%s: %zu unexpected tensor%s that no part of the model uses: %s%s", path, count,
                   count > 1 ? "s" : "", r2_text_view(&list), count > NAMES_SHOWN ? ", ..." : "");
}
