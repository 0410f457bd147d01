/*
 * A request without its sockets: "POST /classify?top_k=3", headers that the routes look at, an empty
 * line, the body. It meets a service that is ready, with the model of R2_TEST_MODEL.
 */
#include "server/problem.h"
#include "server/routes.h"
#include "server/service.h"
#include "tests/fuzz/fuzz.h"

enum { MAX_BODY = 2048 /* less than an input may have */ };

static struct r2_service *service(void)
{
    static const struct r2_model_options options = {.plan_cache = 1 << 20};
    static struct r2_service made;
    struct r2_settings settings = {.workers = 1,
                                   .threads = 1,
                                   .queue_depth = 1,
                                   .max_body = MAX_BODY,
                                   .request_timeout_ms = 10000};
    struct r2_error err = {0};
    struct r2_snapshot *snapshot;
    struct r2_model *model;
    const char *dir = getenv("R2_TEST_MODEL");
    if (made.current) return &made;
    FUZZ_MUST(dir && r2_model_load(dir, &options, &model, &err) == R2_OK);
    FUZZ_MUST(r2_snapshot_create(&settings, &snapshot, &err) == R2_OK);
    atomic_store(&snapshot->model, model);
    FUZZ_MUST(r2_service_init(&made, snapshot, &err) == R2_OK);
    r2_service_set_ready(&made);
    return &made;
}

/* The value when the line is this header, else NULL. */
static const char *value_of(const char *line, const char *name)
{
    size_t size = strlen(name);
    return strncmp(line, name, size) == 0 ? line + size : NULL;
}

/* Takes the head apart, in place. */
static struct r2_request read_head(char *head, const char **ret_id)
{
    char *line = strsep(&head, "\n"), *query;
    struct r2_request request = {.method = strsep(&line, " ")};
    query = line;
    request.path = query ? strsep(&query, "?") : "";
    request.query = query;
    while ((line = strsep(&head, "\n"))) {
        const char *type = value_of(line, "Content-Type: ");
        const char *timeout = value_of(line, "X-Timeout-Ms: ");
        const char *id = value_of(line, "X-Request-ID: ");
        const char *accept = value_of(line, "Accept: ");
        if (type) request.content_type = type;
        if (timeout) request.timeout = timeout;
        if (id) *ret_id = id;
        if (accept) request.accept = accept;
    }
    return request;
}

/* A reply is the client's fault, never ours, and its JSON can be read whatever the client sent. */
static void check_reply(const struct r2_job *job)
{
    const struct r2_reply *reply = &job->reply;
    FUZZ_MUST(reply->code == 200 || reply->code == 204 ||
              (reply->code >= 400 && reply->code < 500));
    if (reply->code == 204) return;
    FUZZ_MUST(reply->data && reply->size == strlen(reply->data));
    if (reply->code == 200) return;
    json_t *json = json_loads(reply->data, 0, NULL);
    FUZZ_MUST(json_string_length(json_object_get(json, "error")) > 0);
    json_decref(json);
}

static void check_accepted(const struct r2_job *job)
{
    const uint8_t *end = job->body.data + job->body.size;
    FUZZ_MUST(job->picture.size >= 1 && job->picture.size <= MAX_BODY);
    FUZZ_MUST(job->picture.data >= job->body.data && job->picture.data + job->picture.size <= end);
    FUZZ_MUST(job->timeout_ms >= 0 && job->timeout_ms <= 3600000);
    FUZZ_MUST(job->work.heads || job->work.embed);
    fuzz_touch(job->picture.data, job->picture.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memmem(data, size, "\n\n", 2) : NULL;
    size_t head_size = end ? (size_t)(end - data) : size, skip = end ? head_size + 2 : size;
    char *head = fuzz_copy(data, head_size, true);
    const char *id = NULL;
    struct r2_error err = {0};
    struct r2_request request = read_head(head, &id);
    struct r2_job *job = r2_job_create(service()->current);
    FUZZ_MUST(job);
    request.length = size - skip;
    r2_job_set_id(job, id);
    r2_routes_admit(service(), job, &request);
    if (!job->reply.code) {
        FUZZ_MUST(r2_buffer_reserve(&job->body, (size_t)request.length, &err) == R2_OK);
        if (request.length)
            FUZZ_MUST(r2_buffer_append(&job->body, data + skip, (size_t)request.length, &err) ==
                      R2_OK);
        if (r2_service_unpack(service(), job)) check_accepted(job);
    }
    if (job->reply.code) check_reply(job);
    r2_job_destroy(job);
    free(head);
    return 0;
}
