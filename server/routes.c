#include "server/routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "config/options.h"
#include "config/quote.h"
#include "server/gzip.h"
#include "server/pages.h"
#include "server/problem.h"
#include "server/service.h"

static enum r2_status select_analyze(struct r2_job *job, const struct r2_query *query,
                                     struct r2_error *err);
static enum r2_status select_embed(struct r2_job *job, const struct r2_query *query,
                                   struct r2_error *err);

static const struct r2_route routes[] = {
    {"/classify", "classify", NULL, NULL},
    {"/detect", "detect", NULL, NULL},
    {"/segment", "segment", NULL, NULL},
    {"/keypoints", "keypoints", NULL, NULL},
    {"/analyze", "analyze", NULL, select_analyze},
    {"/embed", "embed", NULL, select_embed},
    {"/models", "models", r2_page_models, NULL},
    {"/metrics", "metrics", r2_page_metrics, NULL},
    {"/livez", "livez", r2_page_livez, NULL},
    {"/readyz", "readyz", r2_page_readyz, NULL},
    {"/version", "version", r2_page_version, NULL},
    {NULL, "other", NULL, NULL},
};

/* What the server itself understands on every POST. */
struct common {
    bool orient;
};

static const struct r2_option common_options[] = {
    {.name = "orient",
     R2_FIELD(BOOL, struct common, orient),
     .fallback = "1",
     .help = "turn the picture upright by its EXIF orientation"},
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

size_t r2_route_find(const char *path)
{
    size_t i = 0;
    while (routes[i].path && strcmp(routes[i].path, path) != 0) i++;
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

static enum r2_status set_parameters(const struct r2_route *route, struct r2_job *job,
                                     struct r2_error *err)
{
    const struct r2_query *query = &job->query;
    struct common common = {.orient = job->orient};
    bool takes_heads = route->select == select_analyze;
    const char *extra[] = {common_options[0].name, takes_heads ? heads_parameter : NULL, NULL};
    for (size_t i = 0; i < query->count; i++) {
        const struct r2_query_pair *pair = &query->pairs[i];
        if (takes_heads && strcmp(pair->name, heads_parameter) == 0) continue;
        if (r2_options_find(&common_table, R2_SPELL_KEY, pair->name))
            R2_TRY(r2_options_set(&common_table, pair->name, pair->value, &common, err));
        else
            R2_TRY(r2_work_set(&job->work, pair->name, pair->value, extra, err));
    }
    job->orient = common.orient;
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
    return route->page ? "GET, HEAD, OPTIONS" : "POST, OPTIONS";
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

/* The types that a route can answer in, the usual one first. */
static const char *const *offered_types(const struct r2_route *route)
{
    static const char *const json[] = {"application/json", NULL};
    static const char *const metrics[] = {R2_METRICS_TYPE, R2_OPENMETRICS_TYPE, NULL};
    return route->page == r2_page_metrics ? metrics : json;
}

static bool is_negotiated(const struct r2_route *route)
{
    return !route->page || offered_types(route)[1];
}

/* The answer's type and coding; 406 to a POST that takes none of the types. */
static void negotiate(struct r2_job *job, const struct r2_route *route,
                      const struct r2_request *request)
{
    char detail[R2_ERROR_SIZE];
    struct r2_text list = {0};
    const char *const *offered = offered_types(route);
    job->reply.vary = is_negotiated(route) ? "Accept, Accept-Encoding" : "Accept-Encoding";
    job->coding = r2_accept_coding(request->accept_encoding);
    job->type = r2_accept_type(request->accept, offered);
    if (job->type) return;
    job->type = offered[0];
    if (route->page) return;
    for (size_t i = 0; offered[i]; i++) r2_text_add(&list, "%s%s", i ? ", " : "", offered[i]);
    snprintf(detail, sizeof detail, "header Accept: %s names none of what %s answers with: %s",
             r2_quote(request->accept).text, job->path, r2_text_view(&list));
    r2_text_finish(&list);
    r2_job_refuse(job, 406, detail);
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
    } else {
        negotiate(job, route, request);
    }
}

static void answer_page(struct r2_service *service, struct r2_job *job,
                        const struct r2_route *route, const struct r2_request *request)
{
    negotiate(job, route, request);
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
    bool reads = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
    bool posts = strcmp(request->method, "POST") == 0;
    bool asks = strcmp(request->method, "OPTIONS") == 0;
    if (asks && strcmp(request->path, "*") == 0)
        reply_options(job, "GET, HEAD, POST, OPTIONS");
    else if (!route->path && !is_task(job, request->path))
        refuse_path(job, request->path);
    else if (asks)
        reply_options(job, methods_of(route));
    else if (route->page ? !reads : !posts)
        refuse_method(job, route);
    else if (route->page)
        answer_page(service, job, route, request);
    else
        admit_work(service, job, route, request);
}
