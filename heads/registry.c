#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "heads/head.h"

#define R2_HEAD(name) extern const struct r2_head_type r2_##name##_head;
#include "heads/heads.def"
#undef R2_HEAD

#define R2_HEAD(name) &r2_##name##_head,
static const struct r2_head_type *const types[] = {
#include "heads/heads.def"
};
#undef R2_HEAD

static const char *name_at(const void *from, size_t i)
{
    (void)from;
    return i < R2_COUNT(types) ? types[i]->name : NULL;
}

enum r2_status r2_head_type_find(const char *name, const struct r2_head_type **ret,
                                 struct r2_error *err)
{
    for (size_t i = 0; i < R2_COUNT(types); i++) {
        if (strcmp(types[i]->name, name) != 0) continue;
        *ret = types[i];
        return R2_OK;
    }
    R2_CLEANUP(r2_text_finish) struct r2_text known = {0};
    for (size_t i = 0; i < R2_COUNT(types); i++)
        r2_text_add(&known, "%s%s", i ? ", " : "", types[i]->name);
    const char *nearest = r2_text_nearest(name, name_at, NULL);
    return r2_fail(err, R2_INVALID, "head type '%.64s' is unknown; %s%s", name,
                   nearest ? "did you mean " : "known are ",
                   nearest ? nearest : r2_text_view(&known));
}

static void output_name(const char *prefix, const char *name, char ret[R2_GRAPH_NAME_SIZE])
{
    snprintf(ret, R2_GRAPH_NAME_SIZE, "%s%s", prefix, name);
}

void r2_head_add_output(struct r2_graph *graph, const char *prefix, const char *name,
                        r2_value value)
{
    char full[R2_GRAPH_NAME_SIZE];
    output_name(prefix, name, full);
    r2_graph_output(graph, value, full);
}

enum r2_status r2_head_output(const struct r2_head_outputs *outputs, const char *name,
                              struct r2_output_view *ret, struct r2_error *err)
{
    char full[R2_GRAPH_NAME_SIZE];
    output_name(outputs->prefix, name, full);
    return r2_session_output(outputs->session, full, ret, err);
}
