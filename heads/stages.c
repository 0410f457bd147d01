#include "heads/stages.h"

#include <string.h>

#include "base/memory.h"

/* "layer1.0.conv1" belongs to "layer1", "conv1" and "fc" to themselves. */
static void stage_name(const char *layer, char ret[R2_GRAPH_NAME_SIZE])
{
    const size_t size = strcspn(layer, ".");
    memcpy(ret, layer, size);
    ret[size] = 0;
}

static json_t *find_stage(json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *stage = json_array_get(list, i);
        if (strcmp(json_string_value(json_object_get(stage, "name")), name) == 0) return stage;
    }
    return NULL;
}

static void count_up(json_t *stage, const char *key, uint64_t amount)
{
    json_object_set_new(
        stage, key,
        json_integer(json_integer_value(json_object_get(stage, key)) + (json_int_t)amount));
}

/* Layers that share their tensors count their parameters once. */
static bool is_repeated(const struct r2_graph *graph, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (r2_op_has_weights(graph->nodes[i].op) &&
            strcmp(graph->nodes[i].name, graph->nodes[n].name) == 0)
            return true;
    return false;
}

static void add_node(json_t *list, const struct r2_graph *graph, size_t n,
                     const struct r2_extent *extents, json_t **current)
{
    char name[R2_GRAPH_NAME_SIZE];
    const struct r2_node *node = &graph->nodes[n];
    if (r2_op_has_weights(node->op)) {
        stage_name(node->name, name);
        *current = find_stage(list, name);
        if (!*current) {
            *current = json_pack("{s:s}", "name", name);
            json_array_append_new(list, *current);
        }
        count_up(*current, "parameters",
                 is_repeated(graph, n) ? 0 : r2_graph_parameters(graph, node));
        count_up(*current, "macs", r2_graph_macs(graph, node, extents));
    }
    /* what has no weights belongs to the stage before it: the sum at the end of a block */
    const bool belongs =
        r2_op_has_weights(node->op) || node->op == R2_OP_ADD || node->op == R2_OP_GATE;
    if (*current && belongs)
        json_object_set_new(*current, "output",
                            json_pack("[iii]", (int)r2_graph_channels(graph, node->output),
                                      (int)extents[node->output].height,
                                      (int)extents[node->output].width));
}

enum r2_status r2_stages_describe(const struct r2_graph *graph, struct r2_extent picture,
                                  json_t **ret, struct r2_error *err)
{
    R2_AUTOFREE struct r2_extent *extents = NULL;
    R2_TRY(r2_alloc(graph->value_count, sizeof *extents, "extents", &extents, err));
    R2_TRY(r2_graph_extents(graph, picture, extents, err));
    json_t *list = json_array(), *current = NULL;
    if (!list) return r2_fail(err, R2_NO_MEMORY, "no memory for the report");
    for (size_t n = 0; n < graph->node_count; n++) add_node(list, graph, n, extents, &current);
    *ret = list;
    return R2_OK;
}
