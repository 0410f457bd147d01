#include "tests/support/segmenter.h"

#include <stdio.h>

#include "tests/support/detector.h"

/* NAME.conv and NAME.bn; how they are connected does not matter to weights. */
static r2_value conv(struct r2_graph *graph, r2_value x, const char *name, uint32_t out,
                     uint32_t kernel, uint32_t groups)
{
    char conv_name[96], norm[96];
    snprintf(conv_name, sizeof conv_name, "%s.conv", name);
    snprintf(norm, sizeof norm, "%s.bn", name);
    return r2_graph_conv(graph, x,
                         &(struct r2_conv){.name = conv_name,
                                           .norm = norm,
                                           .out = out,
                                           .kernel = kernel,
                                           .stride = 1,
                                           .pad = kernel / 2,
                                           .groups = groups});
}

static r2_value conv3x3(struct r2_graph *graph, r2_value x, const struct segmenter *segmenter,
                        const char *name)
{
    char part[80];
    if (!segmenter->separable) return conv(graph, x, name, segmenter->channels, 3, 1);
    const uint32_t in = r2_graph_channels(graph, x);
    snprintf(part, sizeof part, "%s.depthwise_conv", name);
    x = conv(graph, x, part, in, 3, in);
    snprintf(part, sizeof part, "%s.pointwise_conv", name);
    return conv(graph, x, part, segmenter->channels, 1, 1);
}

static r2_value add_aspp(struct r2_graph *graph, const struct segmenter *segmenter, r2_value x)
{
    r2_value parts[SEGMENTER_MAX_RATES + 1];
    char name[64];
    for (uint32_t i = 0; i < segmenter->rate_count; i++) {
        snprintf(name, sizeof name, "decode_head.aspp_modules.%u", i);
        parts[i] = segmenter->rates[i] == 1 ? conv(graph, x, name, segmenter->channels, 1, 1)
                                            : conv3x3(graph, x, segmenter, name);
    }
    parts[segmenter->rate_count] =
        conv(graph, x, "decode_head.image_pool.1", segmenter->channels, 1, 1);
    return conv(graph, r2_graph_concat(graph, parts, segmenter->rate_count + 1),
                "decode_head.bottleneck", segmenter->channels, segmenter->fuse_kernel, 1);
}

static void add_layers(struct r2_graph *graph, const struct segmenter *segmenter,
                       const struct r2_taps *taps)
{
    r2_value x = add_aspp(graph, segmenter, taps->stage[R2_STAGES - 1]);
    if (segmenter->low_channels) {
        const r2_value low = conv(graph, taps->stage[segmenter->low_tap - 2],
                                  "decode_head.c1_bottleneck", segmenter->low_channels, 1, 1);
        x = r2_graph_concat(graph, (r2_value[]){x, low}, 2);
    }
    for (uint32_t i = 0; i < segmenter->decoder_convs; i++) {
        char name[64];
        snprintf(name, sizeof name, "decode_head.sep_bottleneck.%u", i);
        x = conv3x3(graph, x, segmenter, name);
    }
    struct r2_conv last = {
        .name = "decode_head.conv_seg", .out = segmenter->classes, .kernel = 1, .stride = 1};
    r2_graph_conv(graph, x, &last);
    last.name = "auxiliary_head.conv_seg";
    r2_graph_conv(graph, taps->stage[2], &last);
}

enum r2_status segmenter_weights(const char *path, const struct segmenter *segmenter,
                                 struct r2_error *err)
{
    struct r2_graph graph;
    struct r2_taps taps;
    r2_graph_init(&graph);
    r2_res2net_build(&graph, segmenter->arch, segmenter->dialect, &taps);
    add_layers(&graph, segmenter, &taps);
    enum r2_status status = r2_graph_check(&graph, err);
    if (status == R2_OK)
        status = test_weights_write(path, &graph, segmenter->factors,
                                    detector_rename(segmenter->arch), err);
    r2_graph_finish(&graph);
    return status;
}
