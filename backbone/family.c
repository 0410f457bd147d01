#include "backbone/family.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

enum { MAX_RULES = 16, MAX_NUMBERS = 4 };

/* The start of an official name, and what stands there instead; the first rule that fits counts, and
   without one the name is as it is. In `from` # is any number, in `to` the next of those, and + the
   next plus one. */
struct rule {
    const char *from, *to;
};

struct family {
    const char *anchor, *probe;
    bool paddle_norms; /* ._mean and ._variance */
    struct rule rules[MAX_RULES];
};

#define OFFICIAL_ANCHOR "layer1.0.conv1.weight"
#define PADDLE_ANCHOR "res2.blocks.0.branch2a.conv.weight"

/* clang-format off */
#define PADDLE_BLOCKS                                      \
    {"layer#.#.conv1.", "res+.blocks.#.branch2a.conv."},   \
    {"layer#.#.bn1.", "res+.blocks.#.branch2a.norm."},     \
    {"layer#.#.convs.#.", "res+.blocks.#.branch2b.#.conv."}, \
    {"layer#.#.bns.#.", "res+.blocks.#.branch2b.#.norm."}, \
    {"layer#.#.conv3.", "res+.blocks.#.branch2c.conv."},   \
    {"layer#.#.bn3.", "res+.blocks.#.branch2c.norm."},     \
    {"layer#.#.downsample.0.", "res+.blocks.#.branch1.conv."}, \
    {"layer#.#.downsample.1.", "res+.blocks.#.branch1.norm."}

static const struct family families[R2_FAMILIES] = {
    [R2_FAMILY_OFFICIAL] = {OFFICIAL_ANCHOR, "bn1.weight", false, {{0}}},
    [R2_FAMILY_MMDET] = {OFFICIAL_ANCHOR, "stem.0.weight", false, {
        {"conv1.", "stem."}, {"bn1.", "stem.7."}}},
    [R2_FAMILY_MASKRCNN] = {OFFICIAL_ANCHOR, "stem.bn1.weight", false, {
        {"conv1.", "stem.conv1."}, {"bn1.", "stem.bn1."}}},
    [R2_FAMILY_DETECTRON2] = {"res2.0.conv1.weight", "", false, {
        {"conv1.", "stem.conv1."},
        {"bn1.", "stem.bn1."},
        {"layer#.#.bn1.", "res+.#.conv1.norm."},
        {"layer#.#.bn3.", "res+.#.conv3.norm."},
        {"layer#.#.downsample.1.", "res+.#.shortcut.1."},
        {"layer#.#.downsample.2.", "res+.#.shortcut.1.norm."},
        {"layer#.", "res+."}}},
    [R2_FAMILY_PADDLE] = {PADDLE_ANCHOR, "res1.conv1.conv.weight", true, {
        {"conv1.", "res1.conv1.conv."}, {"bn1.", "res1.conv1.norm."}, PADDLE_BLOCKS}},
    [R2_FAMILY_PADDLE_DEEP] = {PADDLE_ANCHOR, "res1.conv1_1.conv.weight", true, {
        {"conv1.0.", "res1.conv1_1.conv."},
        {"conv1.1.", "res1.conv1_1.norm."},
        {"conv1.3.", "res1.conv1_2.conv."},
        {"conv1.4.", "res1.conv1_2.norm."},
        {"conv1.6.", "res1.conv1_3.conv."},
        {"bn1.", "res1.conv1_3.norm."},
        PADDLE_BLOCKS}},
    [R2_FAMILY_DLA] = {"base_layer.0.weight", "", false, {{0}}},
};
/* clang-format on */

const char *r2_family_anchor(enum r2_family family)
{
    return families[family].anchor;
}

const char *r2_family_probe(enum r2_family family)
{
    return families[family].probe;
}

bool r2_family_is_trunk(const char *official)
{
    static const char *const starts[] = {"conv1.", "bn1.", "layer", "base_layer.", "level"};
    for (size_t i = 0; i < R2_COUNT(starts); i++)
        if (strncmp(official, starts[i], strlen(starts[i])) == 0) return true;
    return false;
}

/* What follows the part of the name that the pattern fits, or NULL. */
static const char *match(const char *pattern, const char *name, unsigned long *numbers)
{
    for (; *pattern; pattern++) {
        if (*pattern != '#') {
            if (*name++ != *pattern) return NULL;
            continue;
        }
        if (!isdigit((unsigned char)*name)) return NULL;
        char *end;
        *numbers++ = strtoul(name, &end, 10);
        name = end;
    }
    return name;
}

static void write_start(const char *pattern, const unsigned long *numbers, struct r2_text *text)
{
    for (; *pattern; pattern++) {
        if (*pattern == '#' || *pattern == '+')
            r2_text_add(text, "%lu", *numbers++ + (*pattern == '+'));
        else
            r2_text_add(text, "%c", *pattern);
    }
}

void r2_family_rename(enum r2_family family, const char *official, struct r2_text *ret)
{
    static const struct rule paddle_norms[] = {{"running_mean", "_mean"},
                                               {"running_var", "_variance"}};
    const struct family *names = &families[family];
    unsigned long numbers[MAX_NUMBERS] = {0};
    const char *rest = NULL;
    for (size_t i = 0; i < MAX_RULES && names->rules[i].from && !rest; i++) {
        rest = match(names->rules[i].from, official, numbers);
        if (rest) write_start(names->rules[i].to, numbers, ret);
    }
    if (!rest) rest = official;
    for (size_t i = 0; i < R2_COUNT(paddle_norms) && names->paddle_norms; i++)
        if (strcmp(rest, paddle_norms[i].from) == 0) rest = paddle_norms[i].to;
    r2_text_add(ret, "%s", rest);
}
