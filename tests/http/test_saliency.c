/* POST /saliency: its forms, which must all tell of the same map; and what it refuses. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/memory.h"
#include "tests/http/visit.h"
#include "tests/support/network_golden.h"

enum { WIDTH = 200, HEIGHT = 150, PIXELS = WIDTH * HEIGHT };

static struct network_golden golden;
static void start(void)
{
    golden = network_golden_open("saliency/poolnet.safetensors", "saliency", "poolnet");
    network_golden_describe(&golden, NULL, NULL);
    r2_visit_start(golden.dir, WIDTH, HEIGHT);
}

static void stop(void)
{
    r2_visit_stop();
    network_golden_close(&golden);
}

/* Pixels of a grey picture that are at least so bright. */
static json_int_t count(const struct r2_image *map, double least)
{
    json_int_t found = 0;
    for (size_t i = 0; i < PIXELS; i++) {
        const uint8_t *pixel = map->pixels + 3 * i;
        cr_assert(pixel[0] == pixel[1] && pixel[1] == pixel[2], "pixel %zu is not grey", i);
        found += pixel[0] >= least;
    }
    return found;
}

Test(saliency, the_map_and_the_region_agree)
{
    start();
    struct r2_image map = r2_visit_picture("/saliency", "image/png", R2_FORMAT_PNG);
    static const double thresholds[] = {0.5, 0.2, 0.9};
    json_int_t last = -1;
    for (size_t i = 0; i < R2_COUNT(thresholds); i++) {
        char target[64];
        snprintf(target, sizeof target, "/saliency?threshold=%g", thresholds[i]);
        json_t *object = r2_visit_answer(i ? target : "/saliency");
        const json_int_t pixels = json_integer_value(json_object_get(object, "pixels"));
        cr_expect_eq(pixels, count(&map, 255 * thresholds[i]));
        cr_expect_float_eq(json_real_value(json_object_get(object, "fraction")),
                           (double)pixels / PIXELS, 1e-6);
        cr_expect(pixels > 0 && pixels < PIXELS && pixels != last);
        cr_expect(json_is_string(json_object_get(json_object_get(object, "rle"), "counts")));
        cr_expect_eq(json_array_size(json_object_get(object, "box")), 4);
        cr_expect_str_eq(json_string_value(json_object_get(object, "model")), "golden");
        last = pixels;
        json_decref(object);
    }
    r2_image_finish(&map);
    stop();
}

Test(saliency, pictures_in_json_are_the_map_and_the_mask)
{
    start();
    struct r2_error err = {0};
    json_t *object = r2_visit_answer("/saliency?format=png");
    const char *text = json_string_value(json_object_get(object, "map"));
    cr_assert_not_null(text);
    cr_expect(json_is_string(json_object_get(object, "mask")));
    cr_expect_null(json_object_get(object, "rle"));
    R2_AUTOFREE uint8_t *file = malloc(r2_base64_room(strlen(text)));
    size_t size = 0;
    cr_assert_eq(r2_base64_decode((const uint8_t *)text, strlen(text), file, &size, &err), R2_OK);
    struct r2_response response = r2_visit_ask("/saliency", "Accept: image/png\r\n");
    cr_assert_eq(response.body_size, size);
    cr_expect_arr_eq(response.body, file, size);
    r2_response_finish(&response);
    json_decref(object);
    stop();
}

Test(saliency, a_jpeg_is_the_photo_with_the_region)
{
    start();
    double difference = 0;
    struct r2_image original =
        r2_visit_decode(r2_buffer_view(&r2_visit.photo), R2_FORMAT_JPEG, WIDTH, HEIGHT);
    struct r2_image drawn = r2_visit_picture("/saliency", "image/jpeg", R2_FORMAT_JPEG);
    for (size_t i = 0; i < 3 * PIXELS; i++) difference += abs(drawn.pixels[i] - original.pixels[i]);
    cr_expect(difference / (3 * PIXELS) > 1 && difference / (3 * PIXELS) < 60, "%g", difference);
    r2_image_finish(&drawn);
    r2_image_finish(&original);
    stop();
}

static void expect_problem(const char *target, int status, const char *part)
{
    struct r2_response response = r2_visit_ask(target, "");
    cr_expect_eq(response.status, status, "%s: %d", target, response.status);
    cr_expect(strstr(response.body, part), "%s: %s", target, response.body);
    r2_response_finish(&response);
}

Test(saliency, refusals)
{
    start();
    expect_problem("/saliency?threshold=1.1", 422, "threshold");
    expect_problem("/saliency?threshold=half", 422, "threshold");
    expect_problem("/saliency?format=svg", 422, "format");
    expect_problem("/saliency?treshold=0.5", 422, "threshold");
    expect_problem("/segment", 404, "saliency");
    r2_buffer_finish(&r2_visit.photo);
    r2_visit.photo = r2_sample_jpeg(800, 60);
    expect_problem("/saliency", 422, "too small");
    r2_visit.photo.size = r2_visit.photo.size / 2;
    expect_problem("/saliency?strict=1", 422, "JPEG");
    stop();
}
