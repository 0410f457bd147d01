#include "heads/box_list.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A decimal number and the `end` that must follow it; moves text behind both. */
static bool read_number(const char **text, char end, float *ret)
{
    char *after;
    const float value = strtof(*text, &after);
    const size_t size = (size_t)(after - *text); /* strtof takes blanks, nan, 0x1p3 as well */
    if (!size || size > strspn(*text, "+-.0123456789eE")) return false;
    if (*after != end || !(fabsf(value) <= R2_BOX_FAR)) return false;
    *text = after + (end != 0);
    *ret = value;
    return true;
}

/* `end` is what follows the box: a semicolon or the end of the text. */
static bool read_box(const char **text, char end, struct r2_box *ret)
{
    return read_number(text, ',', &ret->x1) && read_number(text, ',', &ret->y1) &&
           read_number(text, ',', &ret->x2) && read_number(text, end, &ret->y2);
}

enum r2_status r2_box_list_read(const char *text, struct r2_box ret[R2_BOX_LIST_MAX],
                                size_t *ret_count, struct r2_error *err)
{
    struct r2_box boxes[R2_BOX_LIST_MAX] = {0};
    size_t count = 0;
    for (const char *at = text; count == 0 || *at || at[-1] == ';'; count++) {
        if (count == R2_BOX_LIST_MAX)
            return r2_fail(err, R2_INVALID, "more than %d boxes", R2_BOX_LIST_MAX);
        if (!read_box(&at, strchr(at, ';') ? ';' : 0, &boxes[count]))
            return r2_fail(err, R2_INVALID,
                           "box %zu is not four numbers x1,y1,x2,y2 within %d, with a semicolon "
                           "between boxes",
                           count + 1, R2_BOX_FAR);
        if (!(r2_box_area(boxes[count]) > 0))
            return r2_fail(err, R2_INVALID, "box %zu is empty: x1 < x2 and y1 < y2 must hold",
                           count + 1);
    }
    memcpy(ret, boxes, sizeof boxes);
    *ret_count = count;
    return R2_OK;
}

enum r2_status r2_box_list_check(const char *text, struct r2_error *err)
{
    struct r2_box boxes[R2_BOX_LIST_MAX];
    size_t count;
    return r2_box_list_read(text, boxes, &count, err);
}
