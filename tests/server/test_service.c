/* What the service decides from numbers: capacity, Retry-After, states; replies without HTTP. */
#include "server/service.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "server/problem.h"
#include "server/routes.h"

static struct r2_error err;

static struct r2_settings settings = {
    .workers = 2,
    .threads = 1,
    .queue_depth = R2_AUTO,
    .max_body = 1 << 20,
    .request_timeout_ms = 10000,
};

static struct r2_snapshot *snapshot(void)
{
    struct r2_settings copy = settings; /* it owns nothing */
    struct r2_snapshot *made = NULL;
    cr_assert_eq(r2_snapshot_create(&copy, &made, &err), R2_OK);
    return made;
}

static void start(struct r2_service *service)
{
    cr_assert_eq(r2_service_init(service, snapshot(), &err), R2_OK);
}

Test(service, the_queue_follows_the_measured_time)
{
    struct r2_service service;
    start(&service);
    cr_expect_eq(r2_queue_capacity(service.queue), 8, "4 a worker while nothing is measured");
    r2_service_measure(&service, 500000000); /* 0.5 s: 2 workers do 40 in 10 s */
    cr_expect_eq(r2_queue_capacity(service.queue), 40);
    for (int i = 0; i < 300; i++) r2_service_measure(&service, 1000);
    cr_expect_eq(r2_queue_capacity(service.queue), 1000, "the most");
    for (int i = 0; i < 300; i++) r2_service_measure(&service, UINT64_C(60000000000));
    cr_expect_eq(r2_queue_capacity(service.queue), 1, "the least");
    r2_service_finish(&service);
    settings.queue_depth = 5;
    start(&service);
    r2_service_measure(&service, 1000);
    cr_expect_eq(r2_queue_capacity(service.queue), 5, "a set depth stays");
    r2_service_finish(&service);
}

Test(service, retry_after_is_the_time_that_the_queue_takes)
{
    struct r2_service service;
    int items[7];
    settings.queue_depth = 50;
    start(&service);
    cr_expect_eq(r2_service_retry_after(&service), 1, "nothing known");
    r2_service_measure(&service, 1000000000);
    cr_expect_eq(r2_service_retry_after(&service), 1, "nothing waits");
    for (int i = 0; i < 7; i++)
        cr_assert_eq(r2_queue_push(service.queue, &items[i], 1, &err), R2_OK);
    cr_expect_eq(r2_service_retry_after(&service), 4, "7 jobs of 1 s for 2 workers, rounded up");
    while (r2_queue_try_pop(service.queue)) continue;
    r2_service_finish(&service);
}

Test(service, states)
{
    struct r2_service service;
    start(&service);
    cr_expect_eq(r2_service_state(&service), R2_STATE_LOADING);
    r2_service_set_ready(&service);
    cr_expect_eq(r2_service_state(&service), R2_STATE_READY);
    r2_service_set_state(&service, R2_STATE_LEAVING);
    r2_service_set_ready(&service);
    cr_expect_eq(r2_service_state(&service), R2_STATE_LEAVING, "a signal is not undone");
    r2_service_finish(&service);
}

Test(service, a_snapshot_brings_its_own_queue_depth)
{
    struct r2_service service;
    start(&service);
    settings.queue_depth = 7;
    r2_service_publish(&service, snapshot());
    cr_expect_eq(r2_queue_capacity(service.queue), 7);
    settings.queue_depth = R2_AUTO;
    r2_service_publish(&service, snapshot());
    r2_service_measure(&service, 1000000000);
    cr_expect_eq(r2_queue_capacity(service.queue), 20, "no trace of what was measured before");
    r2_service_finish(&service);
}

static struct r2_job *admit(struct r2_service *service, const char *method, const char *path)
{
    struct r2_request request = {.method = method, .path = path};
    struct r2_job *job = r2_job_create(service->current);
    cr_assert(job);
    r2_job_set_id(job, "id");
    r2_routes_admit(service, job, &request);
    return job;
}

Test(service, before_the_model_is_there)
{
    struct r2_service service;
    start(&service);
    static const struct {
        const char *method, *path;
        unsigned code;
    } cases[] = {{"GET", "/livez", 200},    {"GET", "/readyz", 503},  {"GET", "/metrics", 200},
                 {"GET", "/models", 503},   {"GET", "/version", 200}, {"POST", "/classify", 503},
                 {"POST", "/analyze", 503}, {"POST", "/x", 404},      {"GET", "/classify", 405}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct r2_job *job = admit(&service, cases[i].method, cases[i].path);
        cr_expect_eq(job->reply.code, cases[i].code, "%s: %u", cases[i].path, job->reply.code);
        cr_expect_eq(job->reply.retry_after > 0, cases[i].code == 503, "%s", cases[i].path);
        cr_expect_eq(strcmp(job->reply.type, R2_PROBLEM_TYPE) == 0, cases[i].code != 200);
        r2_job_destroy(job);
    }
    r2_service_finish(&service);
}

Test(service, ids)
{
    struct r2_snapshot *of = snapshot();
    struct r2_job *job = r2_job_create(of);
    char first[R2_ID_SIZE];
    cr_assert(job);
    r2_job_set_id(job, "good id");
    cr_expect_str_eq(job->id, "good id");
    r2_job_set_id(job, NULL);
    strcpy(first, job->id);
    cr_expect_eq(strlen(first), 32);
    r2_job_set_id(job, "bad\nid");
    cr_expect_eq(strlen(job->id), 32);
    cr_expect_str_neq(job->id, first);
    r2_job_destroy(job);
    r2_job_destroy(NULL);
    r2_snapshot_unref(of);
}

Test(service, a_reply_without_memory_is_still_a_problem)
{
    struct r2_snapshot *of = snapshot();
    struct r2_job *job = r2_job_create(of);
    cr_assert(job);
    r2_job_reply(job, 200, "application/json", NULL);
    cr_expect_eq(job->reply.code, 503);
    cr_expect_eq(job->reply.retry_after, 1);
    cr_expect(strstr(job->reply.data, "out of memory"));
    r2_job_destroy(job);
    r2_snapshot_unref(of);
}
