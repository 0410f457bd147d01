#include "heads/inspect.h"

#include <stdio.h>
#include <string.h>

#include "backbone/res2net.h"
#include "base/memory.h"
#include "heads/stages.h"

/* The tensor that the official code calls so, or NULL. */
static const struct r2_tensor_entry *find(const struct r2_weights *weights,
                                          const struct r2_naming *naming, const char *official)
{
    char name[R2_NAME_SIZE];
    struct r2_error ignored;
    if (r2_naming_apply(naming, official, name, &ignored) != R2_OK) return NULL;
    return r2_weights_find(weights, name);
}

static const struct r2_tensor_entry *find_block(const struct r2_weights *weights,
                                                const struct r2_naming *naming, unsigned stage,
                                                unsigned block, const char *rest)
{
    char official[R2_NAME_SIZE];
    snprintf(official, sizeof official, "layer%u.%u.%s", stage, block, rest);
    return find(weights, naming, official);
}

/* Numbers of the 3x3 convolutions and slices, by those of the first block; 0 where shapes do not tell. */
static void guess_slices(const struct r2_weights *weights, const struct r2_naming *naming,
                         const char *block, struct r2_arch *arch)
{
    char name[R2_NAME_SIZE];
    do snprintf(name, sizeof name, "%s.convs.%u.weight", block, arch->scale);
    while (find(weights, naming, name) && arch->scale++ < R2_ARCH_MAX_SCALE);
    arch->scale++; /* the last slice has no convolution */
    snprintf(name, sizeof name, "%s.convs.0.weight", block);
    const struct r2_tensor_entry *tensor = find(weights, naming, name);
    if (!tensor || tensor->rank != 4 || !tensor->dims[1]) return;
    arch->groups = (uint32_t)(tensor->dims[0] / tensor->dims[1]);
    if (arch->planes[0]) arch->base_width = (uint32_t)(tensor->dims[1] * 64 / arch->planes[0]);
}

static enum r2_stem guess_stem(const struct r2_weights *weights, const struct r2_naming *naming)
{
    const struct r2_tensor_entry *tensor = find(weights, naming, "conv1.weight");
    if (find(weights, naming, "conv1.0.weight")) return R2_STEM_DEEP;
    return tensor && tensor->rank == 4 && tensor->dims[2] == 3 ? R2_STEM_3X3 : R2_STEM_7X7;
}

/* The numbers of the variant, as far as shapes tell them; 0 where they do not. */
static struct r2_arch guess(const struct r2_weights *weights, const struct r2_naming *naming)
{
    struct r2_arch arch = {.groups = 1};
    const struct r2_tensor_entry *tensor;
    for (unsigned s = 0; s < R2_STAGES; s++) {
        while (find_block(weights, naming, s + 1, arch.layers[s], "conv1.weight")) arch.layers[s]++;
        tensor = find_block(weights, naming, s + 1, 0, "conv3.weight");
        if (tensor && tensor->rank == 4)
            arch.planes[s] = (uint32_t)(tensor->dims[0] / R2_EXPANSION);
    }
    guess_slices(weights, naming, "layer1.0", &arch);
    arch.stem = guess_stem(weights, naming);
    tensor = find(weights, naming, "bn1.weight");
    if (tensor) arch.stem_channels = (uint32_t)tensor->count;
    arch.downsample = find_block(weights, naming, 2, 0, "downsample.2.weight") ? R2_DOWNSAMPLE_AVG
                                                                               : R2_DOWNSAMPLE_CONV;
    arch.se = find_block(weights, naming, 1, 0, "se.fc1.weight") != NULL;
    return arch;
}

/* Trees of DLA-60, the one shape that they are published in. */
static struct r2_arch guess_dla(const struct r2_weights *weights, const struct r2_naming *naming)
{
    struct r2_error ignored;
    struct r2_arch arch = {0};
    r2_arch_find("res2net_dla60", &arch, &ignored);
    arch.scale = arch.base_width = arch.groups = 0;
    guess_slices(weights, naming, "level2.tree1", &arch);
    return arch;
}

/* The published name of these numbers, or "custom". */
static const char *name_of(const struct r2_arch *arch)
{
    struct r2_error ignored;
    for (size_t i = 0; r2_arch_name(i); i++) {
        struct r2_arch known;
        bool same = r2_arch_find(r2_arch_name(i), &known, &ignored) == R2_OK &&
                    memcmp(known.layers, arch->layers, sizeof known.layers) == 0 &&
                    memcmp(known.planes, arch->planes, sizeof known.planes) == 0 &&
                    known.scale == arch->scale && known.groups == arch->groups &&
                    known.base_width == arch->base_width && known.stem == arch->stem &&
                    known.downsample == arch->downsample &&
                    known.stem_channels == arch->stem_channels && known.se == arch->se &&
                    known.dla == arch->dla;
        if (same) return r2_arch_name(i);
    }
    return "custom";
}

/* What a picture of the usual size costs; nothing is added where the numbers make no network. */
static void add_stages(const struct r2_arch *arch, enum r2_dialect dialect, uint64_t classes,
                       json_t *trunk)
{
    const uint32_t side = arch->stem == R2_STEM_3X3 ? 32 : 224;
    struct r2_error ignored;
    struct r2_graph graph;
    struct r2_taps taps;
    json_t *stages = NULL;
    if (r2_arch_check(arch, &ignored) != R2_OK) return;
    r2_graph_init(&graph);
    r2_res2net_build(&graph, arch, dialect, &taps);
    if (classes && classes < UINT32_MAX)
        r2_graph_linear(&graph, taps.pooled,
                        &(struct r2_linear){.name = "fc", .out = (uint32_t)classes});
    if (r2_graph_check(&graph, &ignored) == R2_OK &&
        r2_stages_describe(&graph, (struct r2_extent){side, side}, &stages, &ignored) == R2_OK) {
        json_object_set_new(trunk, "picture", json_pack("[ii]", (int)side, (int)side));
        json_object_set_new(trunk, "stages", stages);
    }
    r2_graph_finish(&graph);
}

static json_t *list_of(const uint32_t values[R2_STAGES])
{
    json_t *list = json_array();
    for (unsigned i = 0; i < R2_STAGES && values[i]; i++)
        json_array_append_new(list, json_integer(values[i]));
    return list;
}

static json_t *describe_trunk(const struct r2_weights *weights, const struct r2_naming *naming)
{
    static const char *const stems[] = {"7x7", "deep", "3x3"};
    const bool dla = naming->family == R2_FAMILY_DLA;
    const struct r2_arch arch = dla ? guess_dla(weights, naming) : guess(weights, naming);
    const struct r2_tensor_entry *classifier = find(weights, naming, "fc.weight");
    const uint64_t classes = classifier && classifier->rank ? classifier->dims[0] : 0;
    enum r2_dialect dialect = R2_DIALECT_OFFICIAL;
    char evidence[R2_EVIDENCE_SIZE] = "";
    struct r2_error ignored;
    r2_dialect_choose(R2_DIALECT_AUTO, naming, &dialect, evidence, &ignored);
    json_t *trunk = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:i, s:i, s:i, s:s, s:s, s:i, s:b}",
                              "arch", name_of(&arch), "prefix", naming->prefix, "dialect",
                              r2_dialect_name(dialect), "dialect_evidence", evidence, "layers",
                              list_of(arch.layers), "planes", list_of(arch.planes), "base_width",
                              (int)arch.base_width, "scale", (int)arch.scale, "groups",
                              (int)arch.groups, "stem", dla ? "dla" : stems[arch.stem],
                              "downsample", arch.downsample == R2_DOWNSAMPLE_AVG ? "avg" : "conv",
                              "stem_channels", (int)arch.stem_channels, "se", (int)arch.se);
    if (trunk && classes) json_object_set_new(trunk, "classes", json_integer((json_int_t)classes));
    if (trunk) add_stages(&arch, dialect, classes, trunk);
    return trunk;
}

static json_t *describe_file(const struct r2_safetensors *file)
{
    uint64_t parameters = 0;
    json_t *tensors = json_object();
    for (size_t i = 0; i < file->count; i++) {
        const struct r2_tensor_entry *entry = &file->entries[i];
        char shape[128];
        r2_tensor_shape_text(entry->rank, entry->dims, shape, sizeof shape);
        json_object_set_new(tensors, entry->name, json_string(shape));
        if (entry->dtype != R2_DTYPE_OTHER && !strstr(entry->name, ".running_"))
            parameters += entry->count;
    }
    return json_pack("{s:s, s:I, s:I, s:o}", "file", file->path, "tensor_count",
                     (json_int_t)file->count, "parameters", (json_int_t)parameters, "tensors",
                     tensors);
}

enum r2_status r2_weights_info(const char *path, json_t **ret, struct r2_error *err)
{
    struct r2_safetensors file;
    struct r2_weights weights = {0};
    struct r2_naming naming;
    struct r2_error no_trunk;
    R2_TRY(r2_safetensors_open(path, &file, err));
    json_t *info = describe_file(&file);
    enum r2_status status = r2_weights_add(&weights, &file, err);
    if (status == R2_OK && r2_naming_detect(&weights, &naming, &no_trunk) == R2_OK)
        json_object_set_new(info, "trunk", describe_trunk(&weights, &naming));
    r2_safetensors_close(&file);
    if (status == R2_OK && !info) status = r2_fail(err, R2_NO_MEMORY, "no memory for the report");
    if (status != R2_OK) {
        json_decref(info);
        return status;
    }
    *ret = info;
    return R2_OK;
}
