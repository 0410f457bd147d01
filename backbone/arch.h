/*
 * Which Res2Net: the published variants by name, and `custom` by its numbers.
 */
#ifndef R2_BACKBONE_ARCH_H
#define R2_BACKBONE_ARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "backbone/dialect.h"
#include "base/error.h"
#include "config/options.h"

enum { R2_STAGES = 4, R2_EXPANSION = 4, R2_ARCH_MAX_SCALE = 16, R2_ARCH_MAX_LAYERS = 64 };

enum r2_stem {
    R2_STEM_7X7,  /* one 7x7 convolution: "v1" */
    R2_STEM_DEEP, /* three 3x3 convolutions: "v1b", timm's "d" */
    R2_STEM_3X3   /* one 3x3 convolution of stride 1 and no pool, for pictures of 32 x 32 */
};

enum r2_downsample {
    R2_DOWNSAMPLE_CONV, /* 1x1 convolution with the stage's stride */
    R2_DOWNSAMPLE_AVG   /* average pool with the stage's stride, then 1x1 convolution */
};

/* The dilation of the first block of a stage that dilates instead of shrinking. */
enum r2_first_dilation {
    R2_FIRST_HALF, /* half of the stage's: mmsegmentation, timm, torchvision */
    R2_FIRST_FULL  /* the stage's: mmdetection's Res2Net */
};

/* Arithmetic that a model may ask for. */
enum r2_precision { R2_PRECISION_F32, R2_PRECISION_BF16, R2_PRECISION_INT8 };

struct r2_arch {
    uint32_t layers[R2_STAGES]; /* blocks of each stage; the last may have none */
    uint32_t planes[R2_STAGES]; /* a stage's features are planes * R2_EXPANSION */
    uint32_t base_width;        /* channels of a slice, for 64 planes and one group */
    uint32_t scale;             /* slices */
    uint32_t groups;            /* of the 3x3 convolutions */
    uint32_t stem_channels;
    enum r2_stem stem;
    enum r2_downsample downsample;
    uint32_t
        output_stride; /* 32, 16 or 8: the later stages keep the size and dilate; 0 is read as 32 */
    enum r2_first_dilation first_dilation;
    bool se;        /* squeeze and excitation at the end of each block */
    bool dla;       /* Deep Layer Aggregation: stages are trees, layers their depths */
    bool ceil_pool; /* the max pool behind the stem rounds its size up: PoolNet's trunk */
};

/* 4, or 3 where the last one has no blocks. */
unsigned r2_arch_stages(const struct r2_arch *arch);

/* Whether the stages have strides 4, 8, 16 and 32. */
bool r2_arch_is_pyramid(const struct r2_arch *arch);

/* Channels of one slice in a stage. */
uint32_t r2_arch_width(const struct r2_arch *arch, unsigned stage);

/* Name of published variant i (official and timm names), NULL past the end. */
const char *r2_arch_name(size_t i);

/* R2_NOT_FOUND names the nearest. */
enum r2_status r2_arch_find(const char *name, struct r2_arch *ret, struct r2_error *err);

/* R2_INVALID unless the numbers are within what `custom` allows. */
enum r2_status r2_arch_check(const struct r2_arch *arch, struct r2_error *err);

/* The `backbone` object of model.json. */
struct r2_backbone_options {
    char *arch_name;
    struct r2_texts weights;
    int precision; /* enum r2_precision, as asked for */
    int dialect;   /* enum r2_dialect, as asked for */
    double bn_eps; /* R2_AUTO: as the dialect has it */
    struct r2_arch arch;
    /* of custom, as read; empty for published variants */
    struct r2_ints layers, planes;
    int64_t base_width, scale, groups, stem_channels;
    /* of every variant */
    int64_t output_stride;
    int first_dilation;
    bool ceil_pool;
    int stem, downsample;
    bool se;
};

extern const struct r2_option_table r2_backbone_table;

/* Reads and checks the object; finish with r2_options_finish(&r2_backbone_table, ret). */
enum r2_status r2_backbone_options_read(json_t *object, struct r2_backbone_options *ret,
                                        struct r2_error *err);

const char *r2_precision_name(enum r2_precision precision);

#endif
