/* POST /segment: its forms, which must all tell of the same regions. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "image/palette.h"
#include "tests/http/visit.h"

enum { WIDTH = 200, HEIGHT = 150, PIXELS = WIDTH * HEIGHT };

/* Pixels of a PNG by class: the background is black, the rest have the colours of their classes. */
static size_t count(const struct r2_image *image, json_int_t index)
{
    const struct r2_colour colour =
        index ? r2_colour_class((uint32_t)index) : (struct r2_colour){0, 0, 0};
    size_t found = 0;
    for (size_t i = 0; i < PIXELS; i++) {
        const uint8_t *pixel = image->pixels + 3 * i;
        found += pixel[0] == colour.red && pixel[1] == colour.green && pixel[2] == colour.blue;
    }
    return found;
}

static json_int_t member(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    cr_assert(json_is_integer(value), "%s", key);
    return json_integer_value(value);
}

/* The classes are several, in order, the background last, and as large as in the PNG. */
static void expect_classes(const json_t *object, const struct r2_image *png, const char *form)
{
    const json_t *classes = json_object_get(object, "classes");
    json_int_t pixels = 0, last = 0;
    cr_expect_geq(json_array_size(classes), 2, "%s", form);
    for (size_t i = 0; i < json_array_size(classes); i++) {
        const json_t *one = json_array_get(classes, i);
        char label[32];
        const json_int_t index = member(one, "index");
        snprintf(label, sizeof label, "class%d", (int)index);
        cr_expect_str_eq(json_string_value(json_object_get(one, "label")), label);
        cr_expect(index ? index > last : i + 1 == json_array_size(classes), "%s: %zu", form, i);
        cr_expect_eq((size_t)member(one, "pixels"), count(png, index), "%s: %s", form, label);
        cr_expect_eq(json_object_get(one, form) != NULL, strcmp(form, "mask") != 0);
        pixels += member(one, "pixels");
        last = index;
    }
    cr_expect_eq(pixels, PIXELS);
}

Test(segment, every_form_tells_of_the_same_regions)
{
    static const struct {
        const char *target, *form;
    } cases[] = {{"/segment", "rle"},
                 {"/segment?format=rle", "rle"},
                 {"/segment?format=polygons", "polygons"},
                 {"/segment?format=png", "mask"}};
    r2_visit_start(getenv("R2_TEST_SEGMENTER"), WIDTH, HEIGHT);
    struct r2_image png = r2_visit_picture("/segment", "image/png", R2_FORMAT_PNG);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *object = r2_visit_answer(cases[i].target);
        expect_classes(object, &png, cases[i].form);
        json_decref(object);
    }
    r2_image_finish(&png);
    r2_visit_stop();
}

Test(segment, the_mask_in_json_is_the_png)
{
    r2_visit_start(getenv("R2_TEST_SEGMENTER"), WIDTH, HEIGHT);
    struct r2_error err = {0};
    json_t *object = r2_visit_answer("/segment?format=png");
    const char *text = json_string_value(json_object_get(object, "mask"));
    cr_assert_not_null(text);
    uint8_t *file = malloc(r2_base64_room(strlen(text)));
    size_t size = 0;
    cr_assert_eq(r2_base64_decode((const uint8_t *)text, strlen(text), file, &size, &err), R2_OK);
    struct r2_response response = r2_visit_ask("/segment", "Accept: image/png\r\n");
    cr_expect_str_eq(r2_response_header(&response, "Content-Type"), "image/png");
    cr_assert_eq(response.body_size, size);
    cr_expect_arr_eq(response.body, file, size);
    r2_response_finish(&response);
    free(file);
    json_decref(object);
    r2_visit_stop();
}

/* Whether the picture is near the photo on the whole: a veil lets it through. */
static bool resembles(const struct r2_image *image, const struct r2_image *original)
{
    double difference = 0;
    for (size_t i = 0; i < 3 * PIXELS; i++)
        difference += abs(image->pixels[i] - original->pixels[i]);
    return difference > 0 && difference / (3 * PIXELS) < 60;
}

Test(segment, a_jpeg_and_what_several_heads_say_are_drawn_on_the_photo)
{
    r2_visit_start(getenv("R2_TEST_SEGMENTER"), WIDTH, HEIGHT);
    struct r2_image original =
        r2_visit_decode(r2_buffer_view(&r2_visit.photo), R2_FORMAT_JPEG, WIDTH, HEIGHT);
    struct r2_image drawn = r2_visit_picture("/segment", "image/jpeg", R2_FORMAT_JPEG);
    cr_expect(resembles(&drawn, &original));
    r2_image_finish(&drawn);
    drawn = r2_visit_picture("/analyze", "image/png", R2_FORMAT_PNG);
    cr_expect(resembles(&drawn, &original));
    r2_image_finish(&drawn);
    drawn = r2_visit_picture("/segment", "image/png", R2_FORMAT_PNG);
    cr_expect_not(resembles(&drawn, &original));
    r2_image_finish(&drawn);
    r2_image_finish(&original);
    r2_visit_stop();
}

Test(segment, an_unknown_form_is_named)
{
    r2_visit_start(getenv("R2_TEST_SEGMENTER"), WIDTH, HEIGHT);
    struct r2_response response = r2_visit_ask("/segment?format=svg", "");
    cr_expect_eq(response.status, 422);
    cr_expect(strstr(response.body, "format") && strstr(response.body, "polygons"), "%s",
              response.body);
    r2_response_finish(&response);
    r2_visit_stop();
}
