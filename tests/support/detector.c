#include "tests/support/detector.h"

#include <stdio.h>
#include <string.h>

static r2_value conv(struct r2_graph *graph, r2_value x, const char *name, uint32_t out,
                     uint32_t kernel)
{
    return r2_graph_conv(
        graph, x,
        &(struct r2_conv){
            .name = name, .out = out, .kernel = kernel, .stride = 1, .pad = kernel / 2});
}

static r2_value linear(struct r2_graph *graph, r2_value x, const char *name, uint32_t out,
                       uint32_t side)
{
    return r2_graph_linear(graph, x,
                           &(struct r2_linear){.name = name, .out = out, .window = {side, side}});
}

static const char *roi_name(const char *what, const char *stage, const char *layer, char ret[96])
{
    snprintf(ret, 96, "roi_head.%s%s.%s", what, stage, layer);
    return ret;
}

static void add_box_head(struct r2_graph *graph, const struct detector *detector, r2_value level,
                         const char *stage)
{
    char name[96];
    const uint32_t wide = detector->fc_channels, boxes = detector->cascade ? 1 : detector->classes;
    r2_value x = linear(graph, level, roi_name("bbox_head", stage, "shared_fcs.0", name), wide, 7);
    x = linear(graph, x, roi_name("bbox_head", stage, "shared_fcs.1", name), wide, 1);
    linear(graph, x, roi_name("bbox_head", stage, "fc_cls", name), detector->classes + 1, 1);
    linear(graph, x, roi_name("bbox_head", stage, "fc_reg", name), 4 * boxes, 1);
}

static void add_mask_head(struct r2_graph *graph, const struct detector *detector, r2_value x,
                          const char *stage)
{
    char name[96], layer[32];
    const uint32_t wide = detector->mask_channels;
    for (uint32_t i = 0; i < detector->mask_convs; i++) {
        snprintf(layer, sizeof layer, "convs.%u.conv", i);
        x = conv(graph, x, roi_name("mask_head", stage, layer, name), wide, 3);
    }
    roi_name("mask_head", stage, "upsample", name);
    x = r2_graph_deconv(graph, x,
                        &(struct r2_deconv){.name = name, .out = wide, .kernel = 2, .stride = 2});
    conv(graph, x, roi_name("mask_head", stage, "conv_logits", name), detector->classes, 1);
}

/* Every layer with its shape; how they are connected does not matter to their weights. */
static void add_layers(struct r2_graph *graph, const struct detector *detector,
                       const struct r2_taps *taps)
{
    r2_value level = 0;
    for (uint32_t i = 0; i < detector->tap_count; i++) {
        char name[48];
        snprintf(name, sizeof name, "neck.lateral_convs.%u.conv", i);
        level = conv(graph, taps->stage[detector->first_tap + i], name, detector->fpn_channels, 1);
        snprintf(name, sizeof name, "neck.fpn_convs.%u.conv", i);
        level = conv(graph, level, name, detector->fpn_channels, 3);
    }
    const r2_value x = conv(graph, level, "rpn_head.rpn_conv", detector->rpn_channels, 3);
    conv(graph, x, "rpn_head.rpn_cls", detector->anchors, 1);
    conv(graph, x, "rpn_head.rpn_reg", 4 * detector->anchors, 1);
    static const char *const stages[] = {".0", ".1", ".2", ""};
    for (int i = detector->cascade ? 0 : 3; i < (detector->cascade ? 3 : 4); i++) {
        add_box_head(graph, detector, level, stages[i]);
        if (detector->masks) add_mask_head(graph, detector, level, stages[i]);
    }
}

/* The trunk is "backbone."; a deep stem and its last norm are one list. */
static void rename_mmdet(const char *official, char *ret, size_t size)
{
    if (strncmp(official, "conv1.", 6) == 0 && official[6] >= '0' && official[6] <= '9')
        snprintf(ret, size, "backbone.stem.%s", official + 6);
    else
        snprintf(ret, size, "%s%s",
                 strncmp(official, "conv1.", 6) == 0 || strncmp(official, "bn1.", 4) == 0 ||
                         strncmp(official, "layer", 5) == 0
                     ? "backbone."
                     : "",
                 official);
}

static void rename_deep(const char *official, char *ret, size_t size)
{
    if (strncmp(official, "bn1.", 4) == 0)
        snprintf(ret, size, "backbone.stem.7.%s", official + 4);
    else
        rename_mmdet(official, ret, size);
}

test_rename detector_rename(const struct r2_arch *arch)
{
    return arch->stem == R2_STEM_7X7 ? rename_mmdet : rename_deep;
}

enum r2_status detector_weights(const char *path, const struct detector *detector,
                                struct r2_error *err)
{
    struct r2_graph graph;
    struct r2_taps taps;
    r2_graph_init(&graph);
    r2_res2net_build(&graph, detector->arch, R2_DIALECT_MMDET, &taps);
    add_layers(&graph, detector, &taps);
    enum r2_status status = r2_graph_check(&graph, err);
    if (status == R2_OK)
        status = test_weights_write(path, &graph, detector->factors,
                                    detector_rename(detector->arch), err);
    r2_graph_finish(&graph);
    return status;
}
