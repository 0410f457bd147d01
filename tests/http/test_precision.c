/* A model that asks for a precision which is not built: served in f32, and nobody is left to guess. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/http/client.h"
#include "tests/http/daemon.h"

static const char note[] =
    "model.json asks for precision bf16, which the engine does not compute; f32 is used";

enum { PATH_SIZE = 4096 };

static void join(char ret[PATH_SIZE], const char *dir, const char *name)
{
    cr_assert(snprintf(ret, PATH_SIZE, "%s/%s", dir, name) < PATH_SIZE);
}

/* The test model with one key more; its other files are links. */
static void make_model(char *dir)
{
    static const char *const files[] = {"trunk.safetensors", "labels.txt"};
    char from[PATH_SIZE], to[PATH_SIZE];
    const char *base = getenv("R2_TEST_MODEL");
    cr_assert(base && mkdtemp(dir));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        join(from, base, files[i]);
        join(to, dir, files[i]);
        cr_assert_eq(symlink(from, to), 0);
    }
    join(from, base, "model.json");
    join(to, dir, "model.json");
    json_t *json = json_load_file(from, 0, NULL);
    json_object_set_new(json_object_get(json, "backbone"), "precision", json_string("bf16"));
    cr_assert_eq(json_dump_file(json, to, 0), 0);
    json_decref(json);
}

static void remove_model(const char *dir)
{
    static const char *const files[] = {"trunk.safetensors", "labels.txt", "model.json"};
    char path[PATH_SIZE];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        join(path, dir, files[i]);
        unlink(path);
    }
    rmdir(dir);
}

static size_t count(const char *text, const char *what)
{
    size_t found = 0;
    while ((text = strstr(text, what))) {
        found++;
        text += strlen(what);
    }
    return found;
}

static void expect_program(const char *const *arguments, const char *says_output,
                           const char *says_error)
{
    char *output, *error;
    cr_expect_eq(r2_program_call(arguments, &output, &error), 0, "%s: %s", arguments[0], error);
    cr_expect(strstr(output, says_output), "%s: %s", arguments[0], output);
    cr_expect(strstr(error, says_error), "%s: %s", arguments[0], error);
    free(output);
    free(error);
}

Test(precision, what_is_not_built_is_computed_in_f32_and_said)
{
    char dir[] = "/tmp/r2-test-XXXXXX", text[256];
    make_model(dir);
    struct r2_daemon daemon = r2_daemon_start((const char *[]){"--model", dir, NULL});
    char *log = r2_daemon_log(&daemon);
    snprintf(text, sizeof text, " warn model note=\"%s\"", note);
    cr_expect_eq(count(log, text), 1, "%s", log);
    free(log);

    struct r2_response response = r2_client_get(daemon.port, "/models");
    cr_expect(strstr(response.body, note), "%s", response.body);
    cr_expect_eq(count(response.body, "\"precision\":\"f32\""), 1, "%s", response.body);
    r2_response_finish(&response);
    response = r2_client_get(daemon.port, "/metrics");
    cr_expect(strstr(response.body, ",precision=\"f32\""), "%s", response.body);
    r2_response_finish(&response);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);

    expect_program((const char *[]){"check", "--model", dir, NULL}, note, "");
    expect_program((const char *[]){"info", dir, NULL}, note, "");
    expect_program((const char *[]){"bench", "--model", dir, "--seconds", "0.1", "--json", NULL},
                   "\"precision\": \"f32\"", note);
    remove_model(dir);
}
