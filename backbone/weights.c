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

/* The family whose anchor the name ends in, R2_FAMILIES when there is none. */
static enum r2_family find_anchor(const char *name, const char **ret_end)
{
    unsigned family = 0;
    for (; family < R2_FAMILIES; family++) {
        const char *end = find_end(name, r2_family_anchor((enum r2_family)family));
        if (end && (end == name || end[-1] == '.')) {
            *ret_end = end;
            break;
        }
    }
    return (enum r2_family)family;
}

/* Fills prefix, family and anchor from the one trunk that the weights have. */
static enum r2_status find_trunk(const struct r2_weights *weights, struct r2_naming *naming,
                                 struct r2_error *err)
{
    naming->family = R2_FAMILIES;
    for (size_t f = 0; f < weights->count; f++) {
        for (size_t i = 0; i < weights->files[f]->count; i++) {
            const char *name = weights->files[f]->entries[i].name, *end = NULL;
            const enum r2_family family = find_anchor(name, &end);
            if (family == R2_FAMILIES) continue;
            if (naming->family != R2_FAMILIES)
                return r2_fail(err, R2_INVALID, "%s: has two trunks, '%.128s' and '%.128s'",
                               weights->files[f]->path, naming->anchor, name);
            if ((size_t)(end - name) >= sizeof naming->prefix)
                return r2_fail(err, R2_INVALID, "%s: the prefix of '%.128s' is over %zu bytes",
                               weights->files[f]->path, name, sizeof naming->prefix - 1);
            naming->family = family;
            memcpy(naming->prefix, name, (size_t)(end - name));
            snprintf(naming->anchor, sizeof naming->anchor, "%s", name);
        }
    }
    if (naming->family != R2_FAMILIES) return R2_OK;
    return r2_fail(err, R2_NOT_FOUND, "%s: no tensor's name ends in '%s': not a Res2Net trunk",
                   weights->count ? weights->files[0]->path : "no file",
                   r2_family_anchor(R2_FAMILY_OFFICIAL));
}

/* Among the families of one anchor, that whose stem the weights have. */
static enum r2_status choose_family(const struct r2_weights *weights, struct r2_naming *naming,
                                    struct r2_error *err)
{
    const char *anchor = r2_family_anchor(naming->family);
    char name[R2_NAME_SIZE], found[R2_NAME_SIZE] = "";
    for (unsigned i = naming->family; i < R2_FAMILIES; i++) {
        const char *probe = r2_family_probe((enum r2_family)i);
        if (!*probe || strcmp(r2_family_anchor((enum r2_family)i), anchor) != 0) continue;
        snprintf(name, sizeof name, "%s%s", naming->prefix, probe);
        if (!r2_weights_find(weights, name)) continue;
        if (*found)
            return r2_fail(err, R2_INVALID,
                           "%s: '%.128s' and '%.128s' are names of two code bases: which trunk is "
                           "meant is ambiguous",
                           weights->files[0]->path, found, name);
        memcpy(found, name, sizeof found);
        if (i != R2_FAMILY_OFFICIAL) memcpy(naming->anchor, name, sizeof naming->anchor);
        naming->family = (enum r2_family)i;
    }
    return R2_OK;
}

enum r2_status r2_naming_detect(const struct r2_weights *weights, struct r2_naming *ret,
                                struct r2_error *err)
{
    struct r2_naming naming = {0};
    R2_TRY(find_trunk(weights, &naming, err));
    R2_TRY(choose_family(weights, &naming, err));
    r2_naming_find_classifier(weights, &naming);
    *ret = naming;
    return R2_OK;
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
    const bool trunk = r2_family_is_trunk(official);
    R2_CLEANUP(r2_text_finish) struct r2_text name = {0};
    if (trunk) {
        r2_text_add(&name, "%s", naming->prefix);
        r2_family_rename(naming->family, official, &name);
    } else if (starts_with(official, "fc.")) {
        r2_text_add(&name, "%s%s", naming->classifier, official + 2);
    } else {
        r2_text_add(&name, "%.*s%s", (int)shared_prefix(naming->prefix), naming->prefix, official);
    }
    if (name.failed) return r2_fail(err, R2_NO_MEMORY, "no memory for a tensor's name");
    if (name.size >= R2_NAME_SIZE)
        return r2_fail(err, R2_INVALID, "tensor name '%.64s...' is over %d bytes",
                       r2_text_view(&name), R2_NAME_SIZE - 1);
    memcpy(ret, r2_text_view(&name), name.size + 1);
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

/* Projections that the official code of DLA makes and never uses. */
static bool is_dead(const char *name, const struct r2_naming *const *namings, size_t count)
{
    static const char *const dead[] = {"level3.project.", "level4.project.",
                                       "level4.tree1.project."};
    for (size_t i = 0; i < count; i++) {
        const size_t prefix = strlen(namings[i]->prefix);
        if (namings[i]->family != R2_FAMILY_DLA || !starts_with(name, namings[i]->prefix)) continue;
        for (size_t k = 0; k < R2_COUNT(dead); k++)
            if (starts_with(name + prefix, dead[k])) return true;
    }
    return false;
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
            if (is_dead(entry->name, namings, naming_count)) continue;
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
