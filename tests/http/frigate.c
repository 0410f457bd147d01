#include "tests/http/frigate.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "tests/http/client.h"

#define BOUNDARY "8d2c5f0b7a1e4d93"

static const double least_score = 0.4;

static void add_field(struct r2_text *body, const char *disposition, struct r2_bytes content)
{
    r2_text_add(body, "--" BOUNDARY "\r\nContent-Disposition: form-data; %s\r\n\r\n", disposition);
    r2_text_add_bytes(body, (const char *)content.data, content.size);
    r2_text_add(body, "\r\n");
}

static struct r2_response post(const struct frigate *frigate, struct r2_bytes jpeg)
{
    struct r2_text body = {0};
    add_field(&body, "name=\"api_key\"", (struct r2_bytes){0});
    add_field(&body, "name=\"image\"; filename=\"image\"", jpeg);
    r2_text_add(&body, "--" BOUNDARY "--\r\n");
    cr_assert(!body.failed);
    int fd = r2_client_connect(frigate->port);
    cr_assert(r2_client_print(
        fd,
        "POST /v1/vision/detection HTTP/1.1\r\nHost: localhost:%u\r\nUser-Agent: "
        "python-requests/2.32.3\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\n"
        "Connection: keep-alive\r\nContent-Length: %zu\r\nContent-Type: multipart/form-data; "
        "boundary=" BOUNDARY "\r\n\r\n",
        frigate->port, body.size));
    cr_assert(r2_client_send(fd, body.data, body.size));
    struct r2_response response = r2_client_receive(fd, frigate->timeout_ms, false);
    r2_text_finish(&body);
    close(fd);
    return response;
}

/* A truck is a car to it. */
static int label_index(const struct frigate *frigate, const char *label)
{
    char lower[64];
    size_t size = strlen(label);
    cr_assert_lt(size, sizeof lower);
    for (size_t i = 0; i <= size; i++) lower[i] = (char)tolower((unsigned char)label[i]);
    if (strcmp(lower, "truck") == 0) return label_index(frigate, "car");
    for (int i = 0; frigate->labels[i]; i++)
        if (strcmp(frigate->labels[i], lower) == 0) return i;
    return -1;
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    cr_assert(json_is_number(value), "no number %s", key);
    return json_number_value(value);
}

static size_t read_predictions(const struct frigate *frigate, const json_t *predictions,
                               double width, double height, struct frigate_box *ret)
{
    size_t i;
    json_t *each;
    json_array_foreach(predictions, i, each)
    {
        const double score = number(each, "confidence");
        if (score < least_score) return i;
        const int label = label_index(frigate, json_string_value(json_object_get(each, "label")));
        if (label < 0) return i;
        cr_assert_lt(i, FRIGATE_BOXES, "it has room for no more");
        ret[i] = (struct frigate_box){label,
                                      score,
                                      number(each, "y_min") / height,
                                      number(each, "x_min") / width,
                                      number(each, "y_max") / height,
                                      number(each, "x_max") / width};
    }
    return i;
}

bool frigate_detect(const struct frigate *frigate, struct r2_bytes jpeg, unsigned width,
                    unsigned height, struct frigate_box ret[FRIGATE_BOXES], size_t *ret_count)
{
    struct r2_response response = post(frigate, jpeg);
    const bool answered = response.status != 0;
    const char *coding = answered ? r2_response_header(&response, "Content-Encoding") : NULL;
    if (coding && strcmp(coding, "gzip") == 0) r2_response_unzip(&response);
    if (answered) {
        json_t *answer = r2_response_json(&response);
        const json_t *predictions = json_object_get(answer, "predictions");
        cr_assert(json_is_array(predictions), "%s", response.body);
        *ret_count = read_predictions(frigate, predictions, width, height, ret);
        json_decref(answer);
    }
    r2_response_finish(&response);
    return answered;
}
