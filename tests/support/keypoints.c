#include "tests/support/keypoints.h"

#include <stdio.h>

#include "tests/support/test_weights.h"

static r2_value conv(struct r2_graph *graph, r2_value x, const char *name, uint32_t out,
                     uint32_t kernel)
{
    return r2_graph_conv(
        graph, x,
        &(struct r2_conv){
            .name = name, .out = out, .kernel = kernel, .stride = 1, .pad = kernel / 2});
}

/* Every layer with its shape; how they are connected does not matter to their weights. */
static void add_layers(struct r2_graph *graph, const struct keypoints *what)
{
    char name[48];
    uint32_t most = 0;
    for (uint32_t i = 0; i < what->tap_count; i++)
        if (what->taps[i] > most) most = what->taps[i];
    const r2_value input = r2_graph_input(graph, most);
    r2_value x = 0;
    for (uint32_t i = 0; i < what->tap_count; i++) {
        snprintf(name, sizeof name, "keypoints.lateral.%u", i);
        x = conv(graph, r2_graph_slice(graph, input, 0, what->taps[i]), name, what->channels, 1);
    }
    for (uint32_t i = 0; i < what->convs; i++) {
        snprintf(name, sizeof name, "keypoints.convs.%u", i);
        x = conv(graph, x, name, what->channels, 3);
    }
    conv(graph, conv(graph, x, "keypoints.up", what->channels, 3), "keypoints.maps", what->joints,
         1);
}

enum r2_status keypoints_weights(const char *path, const struct keypoints *what,
                                 struct r2_error *err)
{
    struct r2_graph graph;
    r2_graph_init(&graph);
    add_layers(&graph, what);
    enum r2_status status = r2_graph_check(&graph, err);
    if (status == R2_OK) status = test_weights_write(path, &graph, NULL, NULL, err);
    r2_graph_finish(&graph);
    return status;
}
