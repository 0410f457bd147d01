#include "heads/mask_head.h"

#include <math.h>
#include <stdio.h>

void r2_mask_head_build(const struct r2_mask_head *head, const char *name, struct r2_graph *graph)
{
    char layer[R2_GRAPH_NAME_SIZE];
    r2_value x = r2_graph_input(graph, head->in);
    for (uint32_t i = 0; i < head->convs; i++) {
        snprintf(layer, sizeof layer, "%s.convs.%u.conv", name, i);
        x = r2_graph_conv(graph, x,
                          &(struct r2_conv){.name = layer,
                                            .out = head->channels,
                                            .kernel = 3,
                                            .stride = 1,
                                            .pad = 1,
                                            .relu = true});
    }
    snprintf(layer, sizeof layer, "%s.upsample", name);
    x = r2_graph_deconv(
        graph, x,
        &(struct r2_deconv){
            .name = layer, .out = head->channels, .kernel = 2, .stride = 2, .relu = true});
    snprintf(layer, sizeof layer, "%s.conv_logits", name);
    x = r2_graph_conv(
        graph, x, &(struct r2_conv){.name = layer, .out = head->classes, .kernel = 1, .stride = 1});
    r2_graph_output(graph, x, "masks");
}

enum r2_status r2_mask_head_add(const struct r2_output_view *logits, uint32_t item, size_t index,
                                float share, float *ret, struct r2_error *err)
{
    const size_t cells = (size_t)logits->height * logits->width;
    const float *at = logits->data + item * cells * logits->pitch + index;
    for (size_t i = 0; i < cells; i++, at += logits->pitch) {
        if (!isfinite(*at))
            return r2_fail(err, R2_INTERNAL, "a logit of a mask is not a finite number");
        ret[i] += share / (1 + expf(-*at));
    }
    return R2_OK;
}
