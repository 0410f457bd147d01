#include "server/routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "config/options.h"
#include "config/quote.h"
#include "server/deepstack.h"
#include "server/drawing.h"
#include "server/gzip.h"
#include "server/pages.h"
#include "server/problem.h"
#include "server/service.h"

static enum r2_status select_analyze(struct r2_job *job, const struct r2_query *query,
                                     struct r2_error *err);
static enum r2_status select_embed(struct r2_job *job, const struct r2_query *query,
                                   struct r2_error *err);

static const struct r2_route routes[] = {
    {.path = "/classify", .label = "classify"},
    {.path = "/detect", .label = "detect"},
    {.path = "/segment", .label = "segment"},
    {.path = "/keypoints", .label = "keypoints"},
    {.path = "/saliency", .label = "saliency"},
    {.path = "/analyze", .label = "analyze", .select = select_analyze},
    {.path = "/embed", .label = "embed", .select = select_embed},
    {.path = "/v1/vision/detection",
     .label = "deepstack_detection",
     .select = r2_deepstack_select,
     .protocol = &r2_deepstack_protocol},
    {.path = R2_DEEPSTACK_CUSTOM "list",
     .label = "deepstack_list",
     .page = r2_deepstack_list,
     .posted = true,
     .protocol = &r2_deepstack_protocol},
    {.path = R2_DEEPSTACK_CUSTOM,
     .label = "deepstack_custom",
     .select = r2_deepstack_select,
     .protocol = &r2_deepstack_protocol},
    {.path = "/models", .label = "models", .page = r2_page_models},
    {.path = "/metrics", .label = "metrics", .page = r2_page_metrics},
    {.path = "/livez", .label = "livez", .page = r2_page_livez},
    {.path = "/readyz", .label = "readyz", .page = r2_page_readyz},
    {.path = "/version", .label = "version", .page = r2_page_version},
    {.path = NULL, .label = "other"},
};

/* What the server itself understands on every POST. */
struct common {
    bool orient, strict;
};

static const struct r2_option common_options[] = {
    {.name = "orient",
     R2_FIELD(BOOL, struct common, orient),
     .fallback = "1",
     .help = "turn the picture upright by its EXIF orientation"},
    {.name = "strict",
     R2_FIELD(BOOL, struct common, strict),
     .fallback = "0",
     .help = "refuse a picture that is truncated"},
};
static const struct r2_option_table common_table = R2_OPTION_TABLE(common_options, "parameter");

static const char heads_parameter[] = "heads";

enum { TIMEOUT_MOST_MS = 3600000 };

size_t r2_route_count(void)
{
    return R2_COUNT(routes);
}

const struct r2_route *r2_route_at(size_t index)
{
    return &routes[index];
}

static bool is_route_of(const struct r2_route *route, const char *path)
{
    const size_t size = strlen(route->path);
    return route->path[size - 1] == '/' ? strncmp(path, route->path, size) == 0
                                        : strcmp(path, route->path) == 0;
}

size_t r2_route_find(const char *path)
{
    size_t i = 0;
    while (routes[i].path && !is_route_of(&routes[i], path)) i++;
    return i;
}

static enum r2_status select_embed(struct r2_job *job, const struct r2_query *query,
                                   struct r2_error *err)
{
    (void)query;
    (void)err;
    job->work.embed = true;
    return R2_OK;
}

static enum r2_status select_analyze(struct r2_job *job, const struct r2_query *query,
                                     struct r2_error *err)
{
    const char *heads = r2_query_get(query, heads_parameter);
    job->nested = true;
    if (!r2_model_head_count(job->work.model))
        return r2_fail(err, R2_NOT_FOUND, "the model %s has no heads; it answers /embed",
                       r2_model_name(job->work.model));
    if (!heads) {
        r2_work_select_all(&job->work);
        return R2_OK;
    }
    R2_AUTOFREE char *copy = strdup(heads);
    if (!copy) return r2_fail(err, R2_NO_MEMORY, "no memory for a parameter");
    char *rest = copy, *task;
    while ((task = strsep(&rest, ","))) {
        if (!*task)
            return r2_fail(err, R2_INVALID,
                           "parameter heads: %s has an empty name; it is a list "
                           "like \"%s\"",
                           r2_quote(heads).text, r2_model_task(job->work.model, 0));
        R2_TRY(r2_work_select(&job->work, task, err));
    }
    return R2_OK;
}

/* Our name of a parameter on the job's route. */
static const char *own_name(const struct r2_job *job, const char *name)
{
    const char *own = job->protocol->parameter ? job->protocol->parameter(name) : NULL;
    return own ? own : name;
}

static enum r2_status set_parameters(const struct r2_route *route, struct r2_job *job,
                                     struct r2_error *err)
{
    const struct r2_query *query = &job->query;
    struct common common = {.orient = job->orient, .strict = job->strict};
    bool takes_heads = route->select == select_analyze;
    const char *extra[] = {common_options[0].name, common_options[1].name,
                           takes_heads ? heads_parameter : NULL, NULL};
    for (size_t i = 0; i < query->count; i++) {
        const char *name = own_name(job, query->pairs[i].name), *value = query->pairs[i].value;
        if (takes_heads && strcmp(name, heads_parameter) == 0) continue;
        if (r2_options_find(&common_table, R2_SPELL_KEY, name))
            R2_TRY(r2_options_set(&common_table, name, value, &common, err));
        else
            R2_TRY(r2_work_set(&job->work, name, value, extra, err));
    }
    job->orient = common.orient;
    job->strict = common.strict;
    return R2_OK;
}

/* What the job has to compute, from route and parameters. */
static enum r2_status prepare_work(const struct r2_route *route, struct r2_model *model,
                                   struct r2_job *job, const struct r2_request *request,
                                   struct r2_error *err)
{
    R2_TRY(r2_work_init(&job->work, model, err));
    R2_TRY(r2_query_parse(request->query, &job->query, err));
    R2_TRY(route->select ? route->select(job, &job->query, err)
                         : r2_work_select(&job->work, request->path + 1, err));
    return set_parameters(route, job, err);
}

bool r2_routes_know_parameter(const struct r2_job *job, const char *name)
{
    const struct r2_model *model = job->work.model;
    name = own_name(job, name);
    if (strcmp(name, heads_parameter) == 0 || r2_options_find(&common_table, R2_SPELL_KEY, name))
        return true;
    for (size_t i = 0; i < r2_model_head_count(model); i++)
        if (r2_options_find(r2_model_params(model, i), R2_SPELL_KEY, name)) return true;
    return false;
}

enum r2_status r2_routes_apply(struct r2_job *job, struct r2_error *err)
{
    const struct r2_route *route = &routes[job->route];
    struct r2_work work;
    R2_TRY(r2_work_init(&work, job->work.model, err));
    if (!route->select) work.heads = job->work.heads;
    r2_work_finish(&job->work);
    job->work = work;
    if (route->select) R2_TRY(route->select(job, &job->query, err));
    return set_parameters(route, job, err);
}

/* X-Timeout-Ms. */
static enum r2_status read_timeout(const char *text, int64_t *ret, struct r2_error *err)
{
    size_t digits = strspn(text, "0123456789");
    long long value = digits && digits <= 7 && !text[digits] ? atoll(text) : 0;
    if (value < 1 || value > TIMEOUT_MOST_MS)
        return r2_fail(err, R2_INVALID,
                       "header X-Timeout-Ms: %s is not an integer from 1 to %d (milliseconds)",
                       r2_quote(text).text, TIMEOUT_MOST_MS);
    *ret = value;
    return R2_OK;
}

static void refuse_path(struct r2_job *job, const char *path)
{
    char detail[R2_ERROR_SIZE];
    struct r2_text known = {0};
    for (size_t i = 0; routes[i].path; i++)
        r2_text_add(&known, "%s%s", i ? ", " : "", routes[i].path);
    snprintf(detail, sizeof detail, "there is no %s; routes are %s", r2_quote(path).text,
             r2_text_view(&known));
    r2_text_finish(&known);
    r2_job_refuse(job, r2_problem_code(R2_NOT_FOUND), detail);
}

/* What is allowed where, by OPTIONS and 405. */
static const char *methods_of(const struct r2_route *route)
{
    return route->page && !route->posted ? "GET, HEAD, OPTIONS" : "POST, OPTIONS";
}

static void reply_options(struct r2_job *job, const char *allow)
{
    job->reply.code = 204;
    job->reply.allow = allow;
}

static void refuse_method(struct r2_job *job, const struct r2_route *route)
{
    char detail[R2_ERROR_SIZE];
    job->reply.allow = methods_of(route);
    snprintf(detail, sizeof detail, "%s does not take %s, but %s", job->path, job->method,
             job->reply.allow);
    r2_job_refuse(job, 405, detail);
}

/* The types that the job can be answered in, the usual one first. */
static const char *const *offered_types(const struct r2_job *job)
{
    static const char *const json[] = {R2_JSON_TYPE, NULL};
    static const char *const metrics[] = {R2_METRICS_TYPE, R2_OPENMETRICS_TYPE, NULL};
    static const char *const drawn[] = {R2_JSON_TYPE, R2_JPEG_TYPE, R2_PNG_TYPE, NULL};
    if (routes[job->route].page == r2_page_metrics) return metrics;
    if (!job->work.model || !job->protocol->draws || !r2_work_is_drawn(&job->work)) return json;
    return drawn;
}

bool r2_routes_negotiate(struct r2_job *job)
{
    char detail[R2_ERROR_SIZE];
    struct r2_text list = {0};
    const char *const *offered = offered_types(job);
    const bool is_page = routes[job->route].page != NULL;
    job->reply.vary = is_page && !offered[1] ? "Accept-Encoding" : "Accept, Accept-Encoding";
    job->type = r2_accept_type(job->accept, offered);
    if (job->type) return true;
    job->type = offered[0];
    if (is_page) return true;
    for (size_t i = 0; offered[i]; i++) r2_text_add(&list, "%s%s", i ? ", " : "", offered[i]);
    snprintf(detail, sizeof detail, "header Accept: %s names none of what %s answers with: %s",
             r2_quote(job->accept).text, job->path, r2_text_view(&list));
    r2_text_finish(&list);
    r2_job_refuse(job, 406, detail);
    return false;
}

/* What the body is announced to be, and whether it may be as long as that. */
static enum r2_status check_body(struct r2_service *service, struct r2_job *job,
                                 const struct r2_request *request, struct r2_error *err)
{
    size_t max_body = (size_t)job->snapshot->settings.max_body;
    R2_TRY(r2_body_form_read(request->content_type, &job->form, err));
    job->body.limit = r2_body_limit(&job->form, max_body);
    if (request->length <= job->body.limit) return R2_OK;
    r2_metrics_rejected(service->metrics, R2_REJECTED_TOO_LARGE);
    return r2_body_too_large(&job->form, max_body, request->length, err);
}

static void admit_work(struct r2_service *service, struct r2_job *job, const struct r2_route *route,
                       const struct r2_request *request)
{
    struct r2_error err;
    enum r2_state state = r2_service_state(service);
    struct r2_model *model = r2_snapshot_model(job->snapshot);
    if (check_body(service, job, request, &err) != R2_OK) {
        r2_job_fail(job, &err);
    } else if (state == R2_STATE_DRAINING) {
        r2_service_refuse(service, job, R2_REJECTED_DRAINING, "the service is shutting down");
    } else if (state == R2_STATE_LOADING || !model) {
        r2_service_refuse(service, job, R2_REJECTED_LOADING, "the model is being loaded");
    } else if (prepare_work(route, model, job, request, &err) != R2_OK ||
               (request->timeout &&
                read_timeout(request->timeout, &job->timeout_ms, &err) != R2_OK)) {
        r2_job_fail(job, &err);
    } else if (job->form.kind == R2_BODY_PICTURE) {
        r2_routes_negotiate(job);
    }
}

static void answer_page(struct r2_service *service, struct r2_job *job,
                        const struct r2_route *route)
{
    r2_routes_negotiate(job);
    route->page(service, job);
    if (job->reply.code == 200) r2_gzip_reply(job);
}

static bool is_task(struct r2_job *job, const char *path)
{
    struct r2_model *model = r2_snapshot_model(job->snapshot);
    return model && path[0] == '/' && r2_model_find_task(model, path + 1) >= 0;
}

void r2_routes_admit(struct r2_service *service, struct r2_job *job,
                     const struct r2_request *request)
{
    job->route = r2_route_find(request->path);
    const struct r2_route *route = &routes[job->route];
    if (route->protocol) job->protocol = route->protocol;
    job->coding = r2_accept_coding(request->accept_encoding);
    if (request->accept) job->accept = strdup(request->accept);
    bool reads = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
    bool posts = strcmp(request->method, "POST") == 0;
    bool asks = strcmp(request->method, "OPTIONS") == 0;
    if (request->accept && !job->accept)
        r2_job_reply(job, 503, NULL, NULL);
    else if (asks && strcmp(request->path, "*") == 0)
        reply_options(job, "GET, HEAD, POST, OPTIONS");
    else if (!route->path && !is_task(job, request->path))
        refuse_path(job, request->path);
    else if (asks)
        reply_options(job, methods_of(route));
    else if (route->page && !route->posted ? !reads : !posts)
        refuse_method(job, route);
    else if (route->page)
        answer_page(service, job, route);
    else
        admit_work(service, job, route, request);
}
