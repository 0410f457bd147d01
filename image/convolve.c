#include "image/convolve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#if defined(__SSE2__) && !defined(R2_PORTABLE)
#include <emmintrin.h>
#define HAVE_SSE2 1
#else
#define HAVE_SSE2 0
#endif

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* Keys' cubic convolution kernel. */
static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
    return 0.0;
}

static const struct {
    double support; /* half width, in samples of the coarser side */
    double (*weight)(double x);
} kernels[R2_FILTER_COUNT] = {
    [R2_FILTER_BILINEAR] = {1.0, bilinear},
    [R2_FILTER_BICUBIC] = {2.0, bicubic},
};

/* Splits so that low is 0 .. 2^R2_TAP_LOW_BITS - 1 and high carries the sign. */
static void set_tap(struct r2_tap_pair *pairs, uint32_t index, double weight)
{
    const int32_t unit = 1 << R2_TAP_LOW_BITS;
    double scaled = weight * (1 << R2_TAP_BITS);
    int32_t fixed = (int32_t)(scaled + (weight < 0 ? -0.5 : 0.5));
    int32_t low = (int32_t)((uint32_t)fixed & (uint32_t)(unit - 1));
    pairs[index / 2].low[index % 2] = (int16_t)low;
    pairs[index / 2].high[index % 2] = (int16_t)((fixed - low) / unit);
}

enum r2_status r2_taps_init(uint32_t source_size, uint32_t full_size, uint32_t first,
                            uint32_t count, enum r2_filter filter, struct r2_taps *ret,
                            struct r2_error *err)
{
    double scale = (double)source_size / full_size; /* source samples an output */
    double stretch = scale > 1.0 ? scale : 1.0;     /* the kernel widens only when shrinking */
    double support = kernels[filter].support * stretch;
    double most = ceil(support) * 2.0 + 1.0; /* samples that a kernel can touch */
    size_t longest = most < source_size ? (size_t)most : source_size;
    size_t stride = (longest + 1) / 2, total;
    if (!r2_size_mul(count, stride, &total))
        return r2_fail(err, R2_NO_MEMORY, "resize: too many coefficients to address");

    R2_AUTOFREE double *weights = NULL;
    R2_AUTOFREE struct r2_tap_span *spans = NULL;
    R2_AUTOFREE struct r2_tap_pair *pairs = NULL;
    R2_TRY(r2_alloc(longest, sizeof *weights, "resize", &weights, err));
    R2_TRY(r2_alloc(count, sizeof *spans, "resize", &spans, err));
    R2_TRY(r2_alloc(total, sizeof *pairs, "resize", &pairs, err));
    for (uint32_t i = 0; i < count; i++) {
        double centre = ((double)first + i + 0.5) * scale;
        double from = centre - support + 0.5, to = centre + support + 0.5;
        uint32_t begin = from > 0.0 ? (uint32_t)from : 0;
        uint32_t end = to < source_size ? (uint32_t)to : source_size;
        double sum = 0.0;
        for (uint32_t k = 0; k < end - begin; k++) {
            weights[k] =
                kernels[filter].weight(((double)begin + k - centre + 0.5) * (1.0 / stretch));
            sum += weights[k];
        }
        for (uint32_t k = 0; k < end - begin; k++)
            set_tap(pairs + i * stride, k, sum != 0.0 ? weights[k] / sum : weights[k]);
        spans[i] = (struct r2_tap_span){begin, end - begin};
    }
    *ret = (struct r2_taps){count, (uint32_t)longest, (uint32_t)stride, R2_TAKE(spans),
                            R2_TAKE(pairs)};
    return R2_OK;
}

void r2_taps_finish(struct r2_taps *taps)
{
    if (!taps) return;
    free(taps->spans);
    free(taps->pairs);
    *taps = (struct r2_taps){0};
}

/* The total of samples times taps, as a sample. Sums are kept unsigned because they may wrap. */
static uint8_t finish_sum(uint32_t sum)
{
    int32_t value = (int32_t)(sum + (1u << (R2_TAP_BITS - 1))) >> R2_TAP_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static uint32_t whole_tap(const struct r2_tap_pair *pairs, size_t index)
{
    const struct r2_tap_pair *pair = pairs + index / 2;
    return (uint32_t)pair->high[index % 2] * (1u << R2_TAP_LOW_BITS) +
           (uint32_t)pair->low[index % 2];
}

/* Samples from `at` on, without vector instructions of our own. */
static void convolve_rest(const struct r2_tap_pair *pairs, size_t pair_count,
                          const uint8_t *const *rows, size_t at, size_t size, uint8_t *dst)
{
    enum { BLOCK = 64 };
    for (; at < size; at += BLOCK) {
        size_t count = size - at < BLOCK ? size - at : BLOCK;
        uint32_t sums[BLOCK] = {0};
        for (size_t k = 0; k < 2 * pair_count; k++) {
            uint32_t tap = whole_tap(pairs, k);
            const uint8_t *row = rows[k] + at;
            for (size_t i = 0; i < count; i++) sums[i] += tap * row[i];
        }
        for (size_t i = 0; i < count; i++) dst[at + i] = finish_sum(sums[i]);
    }
}

#if HAVE_SSE2

/* Broadcasts of the two parts of a pair, for multiplication with pairs of samples. */
static inline void load_pair(const struct r2_tap_pair *pair, __m128i *high, __m128i *low)
{
    __m128i both = _mm_loadl_epi64((const __m128i *)(const void *)pair);
    *high = _mm_shuffle_epi32(both, 0x00);
    *low = _mm_shuffle_epi32(both, 0x55);
}

/* Four sums, rounded and shifted to samples but not clamped. */
static inline __m128i finish_sums(__m128i high, __m128i low)
{
    const __m128i half = _mm_set1_epi32(1 << (R2_TAP_BITS - 1));
    __m128i sum = _mm_add_epi32(_mm_slli_epi32(high, R2_TAP_LOW_BITS), _mm_add_epi32(low, half));
    return _mm_srai_epi32(sum, R2_TAP_BITS);
}

void r2_convolve_row(const struct r2_taps *taps, const uint8_t *src, uint8_t *dst)
{
    const __m128i zero = _mm_setzero_si128();
    for (uint32_t i = 0; i < taps->count; i++) {
        const struct r2_tap_pair *pair = taps->pairs + (size_t)i * taps->stride;
        const uint8_t *from = src + (size_t)taps->spans[i].first * 3;
        uint32_t pair_count = (taps->spans[i].count + 1) / 2;
        __m128i sum_high = zero, sum_low = zero, high, low;
        for (uint32_t k = 0; k < pair_count; k++, from += 6) {
            __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)from);
            /* r0 g0 b0 r1 g1 b1 . . -> r0 r1 g0 g1 b0 b1 . ., each 16 bits */
            __m128i mixed = _mm_unpacklo_epi8(bytes, _mm_srli_epi64(bytes, 24));
            __m128i samples = _mm_unpacklo_epi8(mixed, zero);
            load_pair(pair + k, &high, &low);
            sum_high = _mm_add_epi32(sum_high, _mm_madd_epi16(samples, high));
            sum_low = _mm_add_epi32(sum_low, _mm_madd_epi16(samples, low));
        }
        __m128i result = finish_sums(sum_high, sum_low);
        result = _mm_packs_epi32(result, result);
        int32_t rgbx = _mm_cvtsi128_si32(_mm_packus_epi16(result, result));
        memcpy(dst + (size_t)i * 3, &rgbx, 4); /* the fourth byte is slack */
    }
}

/* Sixteen samples at `at` of all rows. */
static inline __m128i convolve_sixteen(const struct r2_tap_pair *pairs, size_t pair_count,
                                       const uint8_t *const *rows, size_t at)
{
    const __m128i zero = _mm_setzero_si128();
    __m128i sums_high[4] = {zero, zero, zero, zero}, sums_low[4] = {zero, zero, zero, zero};
    for (size_t k = 0; k < pair_count; k++) {
        __m128i even = _mm_loadu_si128((const __m128i *)(const void *)(rows[2 * k] + at));
        __m128i odd = _mm_loadu_si128((const __m128i *)(const void *)(rows[2 * k + 1] + at));
        __m128i first = _mm_unpacklo_epi8(even, odd), second = _mm_unpackhi_epi8(even, odd);
        __m128i samples[4] = {
            _mm_unpacklo_epi8(first, zero),
            _mm_unpackhi_epi8(first, zero),
            _mm_unpacklo_epi8(second, zero),
            _mm_unpackhi_epi8(second, zero),
        };
        __m128i high, low;
        load_pair(pairs + k, &high, &low);
        for (int quarter = 0; quarter < 4; quarter++) {
            sums_high[quarter] =
                _mm_add_epi32(sums_high[quarter], _mm_madd_epi16(samples[quarter], high));
            sums_low[quarter] =
                _mm_add_epi32(sums_low[quarter], _mm_madd_epi16(samples[quarter], low));
        }
    }
    return _mm_packus_epi16(_mm_packs_epi32(finish_sums(sums_high[0], sums_low[0]),
                                            finish_sums(sums_high[1], sums_low[1])),
                            _mm_packs_epi32(finish_sums(sums_high[2], sums_low[2]),
                                            finish_sums(sums_high[3], sums_low[3])));
}

void r2_convolve_rows(const struct r2_tap_pair *pairs, size_t pair_count,
                      const uint8_t *const *rows, size_t size, uint8_t *dst)
{
    size_t at = 0;
    for (; at + 16 <= size; at += 16)
        _mm_storeu_si128((__m128i *)(void *)(dst + at),
                         convolve_sixteen(pairs, pair_count, rows, at));
    convolve_rest(pairs, pair_count, rows, at, size, dst);
}

#else

void r2_convolve_row(const struct r2_taps *taps, const uint8_t *src, uint8_t *dst)
{
    for (uint32_t i = 0; i < taps->count; i++, dst += 3) {
        const struct r2_tap_pair *pairs = taps->pairs + (size_t)i * taps->stride;
        const uint8_t *from = src + (size_t)taps->spans[i].first * 3;
        uint32_t red = 0, green = 0, blue = 0;
        for (uint32_t k = 0; k < taps->spans[i].count; k++, from += 3) {
            uint32_t tap = whole_tap(pairs, k);
            red += tap * from[0];
            green += tap * from[1];
            blue += tap * from[2];
        }
        dst[0] = finish_sum(red);
        dst[1] = finish_sum(green);
        dst[2] = finish_sum(blue);
    }
}

void r2_convolve_rows(const struct r2_tap_pair *pairs, size_t pair_count,
                      const uint8_t *const *rows, size_t size, uint8_t *dst)
{
    convolve_rest(pairs, pair_count, rows, 0, size, dst);
}

#endif
