#include "heads/label_map.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/vector.h"
#include "heads/map_axis.h"

/* The picture is worked on in tiles of TILE columns and as many rows, at most BAND, as read the
   same source rows. */
enum { TAPS = R2_AXIS_TAPS, TILE = 32, BAND = 32, MAX_CLASSES = 256, MAX_RIVALS = 4 };

/* --- the tiles of a row of them --- */

/* Columns of the source, and what each adds to each pixel. */
struct tile {
    uint32_t first, count;
    size_t weights; /* of the first; index into tiles.weights */
};

struct tiles {
    size_t count;
    struct tile *items;
    float (*weights)[TILE];
};

static void tiles_finish(struct tiles *tiles)
{
    free(tiles->items);
    free(tiles->weights);
}

static size_t tile_end(const struct r2_axis *x, size_t begin)
{
    return begin + TILE < x->count ? begin + TILE : x->count;
}

static void fill_weights(const struct r2_axis *x, size_t begin, const struct tile *tile,
                         float (*weights)[TILE])
{
    for (size_t i = begin; i < tile_end(x, begin); i++)
        for (size_t t = 0; t < TAPS; t++)
            if (x->first[i] + t < x->cells)
                weights[x->first[i] + t - tile->first][i - begin] = x->weights[i][t];
}

static enum r2_status tiles_init(struct tiles *tiles, const struct r2_axis *x, struct r2_error *err)
{
    size_t used = 0;
    tiles->count = (x->count + TILE - 1) / TILE;
    R2_TRY(r2_alloc(tiles->count, sizeof *tiles->items, "tiles", &tiles->items, err));
    for (size_t i = 0; i < tiles->count; i++) {
        const uint32_t first = x->first[i * TILE];
        size_t end = x->first[tile_end(x, i * TILE) - 1] + TAPS;
        if (end > x->cells) end = x->cells;
        tiles->items[i] = (struct tile){first, (uint32_t)(end - first), used};
        used += end - first;
    }
    R2_TRY(r2_alloc(used, sizeof *tiles->weights, "tiles", &tiles->weights, err));
    for (size_t i = 0; i < tiles->count; i++)
        fill_weights(x, i * TILE, &tiles->items[i], tiles->weights + tiles->items[i].weights);
    return R2_OK;
}

/* --- the source cells --- */

struct source {
    struct r2_output_view logits;
    float *pairs;     /* what the logits are of where a single class stands against the bar */
    uint8_t *leaders; /* [height, width]: the best class of each cell */
};

static void source_finish(struct source *source)
{
    free(source->leaders);
    free(source->pairs);
}

/* Two classes of one: resizing leaves a plane that is the bar everywhere as it is. */
static enum r2_status add_bar(struct source *source, float bar, struct r2_error *err)
{
    struct r2_output_view *logits = &source->logits;
    const size_t cells = (size_t)logits->height * logits->width;
    R2_TRY(r2_alloc(cells, 2 * sizeof *source->pairs, "logits", &source->pairs, err));
    for (size_t i = 0; i < cells; i++) {
        source->pairs[2 * i] = bar;
        source->pairs[2 * i + 1] = logits->data[i * logits->pitch];
    }
    logits->data = source->pairs;
    logits->channels = 2;
    logits->pitch = 2;
    return R2_OK;
}

/* False when a logit is not finite. */
static bool find_leader(const float *logits, size_t classes, uint8_t *ret)
{
    size_t best = 0;
    bool finite = true;
    for (size_t c = 0; c < classes; c++) {
        finite &= isfinite(logits[c]) != 0;
        if (logits[c] > logits[best]) best = c;
    }
    *ret = (uint8_t)best;
    return finite;
}

static enum r2_status source_init(struct source *source, const struct r2_label_rule *rule,
                                  struct r2_error *err)
{
    const struct r2_output_view *logits = &source->logits;
    const size_t cells = (size_t)logits->height * logits->width;
    if (logits->channels == 1 && rule->first == 0) R2_TRY(add_bar(source, rule->bar, err));
    R2_TRY(r2_alloc(cells, 1, "leading classes", &source->leaders, err));
    for (size_t i = 0; i < cells; i++)
        if (!find_leader(logits->data + i * logits->pitch, logits->channels, &source->leaders[i]))
            return r2_fail(err, R2_INTERNAL, "the logits of cell %zu are not finite", i);
    return R2_OK;
}

/* --- one tile of one band --- */

/* The source cells that it reads, [rows, columns]. */
struct patch {
    const struct source *source;
    size_t row, rows, column, columns;
};

static const float *patch_cell(const struct patch *patch, size_t row, size_t column)
{
    const struct r2_output_view *logits = &patch->source->logits;
    return logits->data +
           ((patch->row + row) * logits->width + patch->column + column) * logits->pitch;
}

static const uint8_t *patch_leaders(const struct patch *patch, size_t row)
{
    return patch->source->leaders + (patch->row + row) * patch->source->logits.width +
           patch->column;
}

/* Leaders of the patch, each once: all, when there are fewer than MAX_RIVALS. */
static size_t find_rivals(const struct patch *patch, uint8_t *ret)
{
    size_t count = 0;
    for (size_t j = 0; j < patch->rows; j++) {
        const uint8_t *leaders = patch_leaders(patch, j);
        for (size_t k = 0; k < patch->columns; k++) {
            size_t i = 0;
            while (i < count && ret[i] != leaders[k]) i++;
            if (i == count && count < MAX_RIVALS) ret[count++] = leaders[k];
        }
    }
    return count;
}

/* The classes that no rival beats in all cells; ascending. A pixel is a mean of cells: what is behind
   in all of them is behind in it. */
R2_VECTOR_CLONES static size_t find_candidates(const struct patch *patch, const uint8_t *rivals,
                                               size_t rival_count, uint8_t *ret)
{
    const size_t classes = patch->source->logits.channels;
    float least[MAX_CLASSES], most[MAX_CLASSES]; /* of what a class is above a rival */
    size_t count = 0;
    for (size_t c = 0; c < classes; c++) least[c] = INFINITY;
    for (size_t i = 0; i < rival_count; i++) {
        for (size_t c = 0; c < classes; c++) most[c] = -INFINITY;
        for (size_t j = 0; j < patch->rows; j++)
            for (size_t k = 0; k < patch->columns; k++) {
                const float *logits = patch_cell(patch, j, k), rival = logits[rivals[i]];
                for (size_t c = 0; c < classes; c++)
                    most[c] = most[c] > logits[c] - rival ? most[c] : logits[c] - rival;
            }
        for (size_t c = 0; c < classes; c++) least[c] = least[c] < most[c] ? least[c] : most[c];
    }
    for (size_t c = 0; c < classes; c++)
        if (least[c] >= 0) ret[count++] = (uint8_t)c;
    return count;
}

struct scores {
    float best[BAND][TILE];
    int32_t label[BAND][TILE];
};

/* Rows of the patch resized horizontally, for one class. */
static inline __attribute__((always_inline)) void
widen(const struct patch *patch, size_t class, const float (*weights)[TILE], float ret[TAPS][TILE])
{
    for (size_t j = 0; j < patch->rows; j++) {
        for (size_t x = 0; x < TILE; x++) ret[j][x] = 0;
        for (size_t k = 0; k < patch->columns; k++) {
            const float cell = patch_cell(patch, j, k)[class];
            for (size_t x = 0; x < TILE; x++) ret[j][x] += cell * weights[k][x];
        }
    }
}

/* Lets one class compete for the pixels of `rows` rows, whose weights of source rows are these. */
R2_VECTOR_CLONES static void compete(const struct patch *patch, size_t class,
                                     const float (*columns)[TILE], const float (*rows)[TAPS],
                                     size_t row_count, struct scores *scores)
{
    float wide[TAPS][TILE] = {{0}};
    widen(patch, class, columns, wide);
    for (size_t y = 0; y < row_count; y++) {
        float *best = scores->best[y];
        int32_t *label = scores->label[y];
        for (size_t x = 0; x < TILE; x++) {
            const float score =
                rows[y][0] * wide[0][x] + rows[y][1] * wide[1][x] + rows[y][2] * wide[2][x];
            const bool better = score > best[x];
            best[x] = better ? score : best[x];
            label[x] = better ? (int32_t) class : label[x];
        }
    }
}

struct block {
    size_t x, width, y, height; /* pixels */
};

static void fill_block(const struct patch *patch, const struct block *block,
                       const struct r2_axis *rows, const float (*columns)[TILE], uint8_t first,
                       uint8_t *dst, size_t stride)
{
    uint8_t rivals[MAX_RIVALS], candidates[MAX_CLASSES];
    const size_t rival_count = find_rivals(patch, rivals);
    dst += block->y * stride + block->x;
    if (rival_count == 1) {
        for (size_t y = 0; y < block->height; y++)
            memset(dst + y * stride, first + rivals[0], block->width);
        return;
    }
    struct scores scores;
    for (size_t y = 0; y < block->height; y++)
        for (size_t x = 0; x < TILE; x++) scores.best[y][x] = -INFINITY, scores.label[y][x] = 0;
    const size_t count = find_candidates(patch, rivals, rival_count, candidates);
    for (size_t i = 0; i < count; i++)
        compete(patch, candidates[i], columns, (const float(*)[TAPS])(rows->weights + block->y),
                block->height, &scores);
    for (size_t y = 0; y < block->height; y++)
        for (size_t x = 0; x < block->width; x++)
            dst[y * stride + x] = (uint8_t)(first + scores.label[y][x]);
}

static void fill_band(const struct source *source, const struct r2_axis *x,
                      const struct tiles *tiles, const struct r2_axis *y, struct block block,
                      uint8_t first, uint8_t *dst)
{
    const size_t row = y->first[block.y], left = y->cells - row;
    for (size_t i = 0; i < tiles->count; i++) {
        const struct tile *tile = &tiles->items[i];
        const struct patch patch = {source, row, left < TAPS ? left : TAPS, tile->first,
                                    tile->count};
        block.x = i * TILE;
        block.width = tile_end(x, block.x) - block.x;
        fill_block(&patch, &block, y, (const float(*)[TILE])(tiles->weights + tile->weights), first,
                   dst, x->count);
    }
}

static void fill_map(const struct source *source, const struct r2_axis *x,
                     const struct tiles *tiles, const struct r2_axis *y, uint8_t first,
                     uint8_t *dst)
{
    struct block block = {0};
    for (block.y = 0; block.y < y->count; block.y += block.height) {
        block.height = 1;
        while (block.height < BAND && block.y + block.height < y->count &&
               y->first[block.y + block.height] == y->first[block.y])
            block.height++;
        fill_band(source, x, tiles, y, block, first, dst);
    }
}

static enum r2_status check(const struct r2_output_view *logits, const struct r2_label_rule *rule,
                            struct r2_error *err)
{
    if (logits->channels < 1 || logits->channels > (uint32_t)MAX_CLASSES - rule->first)
        return r2_fail(err, R2_INVALID, "a label map has 1 to %d classes, not %u",
                       MAX_CLASSES - rule->first, logits->channels);
    return R2_OK;
}

enum r2_status r2_label_map_make(const struct r2_output_view *logits,
                                 const struct r2_geometry *geometry,
                                 const struct r2_label_rule *rule, uint8_t *ret,
                                 struct r2_error *err)
{
    R2_CLEANUP(r2_axis_finish) struct r2_axis x = {0};
    R2_CLEANUP(r2_axis_finish) struct r2_axis y = {0};
    const bool at_picture = rule->align_corners && !rule->corners_to_input;
    R2_CLEANUP(tiles_finish) struct tiles tiles = {0};
    R2_CLEANUP(source_finish) struct source source = {.logits = *logits};
    R2_TRY(check(logits, rule, err));
    R2_TRY(r2_axes_init(logits, geometry, rule->align_corners, at_picture, &x, &y, err));
    R2_TRY(tiles_init(&tiles, &x, err));
    R2_TRY(source_init(&source, rule, err));
    fill_map(&source, &x, &tiles, &y, rule->first, ret);
    return R2_OK;
}
