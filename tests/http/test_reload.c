/* SIGHUP: the model and the settings are loaded beside the old ones and swapped, or the old stay. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "tests/http/client.h"
#include "tests/http/daemon.h"

#define RELOADED(result) "res2netd_reloads_total{result=\"" result "\"}"

static char model[64], config[96]; /* of a copy of the test model, and of a file of settings */

static void write_text(const char *path, const char *text)
{
    char fresh[128];
    snprintf(fresh, sizeof fresh, "%s.new", path);
    FILE *file = fopen(fresh, "w");
    cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
    cr_assert_eq(rename(fresh, path), 0);
}

/* The description of the test model, with another version. */
static void write_version(int version)
{
    char path[4096], text[4096] = {0}, *found;
    snprintf(path, sizeof path, "%s/model.json", getenv("R2_TEST_MODEL"));
    FILE *file = fopen(path, "r");
    cr_assert(file && fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    cr_assert(found = strstr(text, "\"version\": \"1\""));
    found[strlen("\"version\": \"")] = (char)('0' + version);
    snprintf(path, sizeof path, "%s/model.json", model);
    write_text(path, text);
}

static void set_up(void)
{
    static const char *const files[] = {"trunk.safetensors", "labels.txt"};
    char from[4096], to[4096];
    strcpy(model, "/tmp/r2_reload_XXXXXX");
    cr_assert(mkdtemp(model));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(from, sizeof from, "%s/%s", getenv("R2_TEST_MODEL"), files[i]);
        snprintf(to, sizeof to, "%s/%s", model, files[i]);
        cr_assert_eq(symlink(from, to), 0);
    }
    write_version(1);
    snprintf(config, sizeof config, "%s/settings", model);
    write_text(config, "{}");
}

static void tear_down(void)
{
    static const char *const files[] = {"trunk.safetensors", "labels.txt", "model.json",
                                        "settings"};
    char path[4096];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", model, files[i]);
        unlink(path);
    }
    rmdir(model);
}

static struct r2_daemon start(void)
{
    const char *const options[] = {"--model", model, "--config", config, NULL};
    return r2_daemon_start(options);
}

static void send_head(int fd, size_t size)
{
    r2_client_print(fd, "POST /classify HTTP/1.1\r\nHost: test\r\nContent-Length: %zu\r\n\r\n",
                    size);
}

/* The version that an answer names; 0 when it is none. */
static int answered_version(int fd)
{
    int version = 0;
    struct r2_response response = r2_client_receive(fd, 20000, false);
    if (response.status == 200) {
        json_t *json = r2_response_json(&response);
        version = atoi(json_string_value(json_object_get(json, "version")));
        json_decref(json);
    }
    r2_response_finish(&response);
    return version;
}

Test(reload, requests_never_fail_and_get_the_new_model, .init = set_up, .fini = tear_down)
{
    enum { CLIENTS = 4, MOST = 5000 };
    struct r2_daemon daemon = start();
    struct r2_buffer file = r2_sample_file("jpeg_420.jpg");
    int fds[CLIENTS], latest = 1, asked = 1;
    for (int i = 0; i < CLIENTS; i++) fds[i] = r2_client_connect(daemon.port);
    for (int round = 0; latest < 5 && round < MOST; round++) {
        if (asked == latest) { /* the last reload has arrived: another */
            write_version(++asked);
            kill(daemon.pid, SIGHUP);
        }
        const int known = latest; /* those of one round may begin before and after the swap */
        for (int i = 0; i < CLIENTS; i++) {
            send_head(fds[i], file.size);
            r2_client_send(fds[i], file.data, file.size);
        }
        for (int i = 0; i < CLIENTS; i++) {
            int version = answered_version(fds[i]);
            cr_assert(version == known || version == asked, "%d after %d", version, known);
            if (version > latest) latest = version;
        }
    }
    cr_expect_eq(latest, 5);
    r2_daemon_expect_metric(&daemon, RELOADED("ok"), 4);
    cr_expect_eq(r2_daemon_metric(&daemon, RELOADED("error")), 0);
    for (int i = 0; i < CLIENTS; i++) close(fds[i]);
    r2_buffer_finish(&file);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

Test(reload, a_request_keeps_the_model_that_it_began_with, .init = set_up, .fini = tear_down)
{
    struct r2_daemon daemon = start();
    struct r2_buffer file = r2_sample_file("jpeg_420.jpg");
    int fd = r2_client_connect(daemon.port);
    send_head(fd, file.size);
    r2_client_send(fd, file.data, file.size - 1);
    r2_daemon_expect_metric(&daemon, "res2netd_requests_in_flight", 2);
    write_version(2);
    kill(daemon.pid, SIGHUP);
    r2_daemon_expect_metric(&daemon, RELOADED("ok"), 1);
    r2_client_send(fd, file.data + file.size - 1, 1);
    cr_expect_eq(answered_version(fd), 1);
    send_head(fd, file.size);
    r2_client_send(fd, file.data, file.size);
    cr_expect_eq(answered_version(fd), 2);
    close(fd);
    r2_buffer_finish(&file);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

static int classify(const struct r2_daemon *daemon, const struct r2_buffer *file)
{
    struct r2_response response =
        r2_client_ask(daemon->port, "POST", "/classify", "", file->data, file->size);
    int status = response.status;
    r2_response_finish(&response);
    return status;
}

Test(reload, an_error_keeps_the_old_and_says_why, .init = set_up, .fini = tear_down)
{
    char path[128];
    struct r2_daemon daemon = start();
    struct r2_buffer file = r2_sample_file("jpeg_420.jpg");
    snprintf(path, sizeof path, "%s/model.json", model);
    write_text(path, "{\"name\": \"broken\", \"bakbone\": {}}");
    kill(daemon.pid, SIGHUP);
    r2_daemon_expect_metric(&daemon, RELOADED("error"), 1);
    cr_expect(r2_daemon_logs(&daemon, "bakbone", 1000));
    cr_expect_eq(classify(&daemon, &file), 200);
    write_version(3);
    write_text(config, "{\"workers\": 7}");
    kill(daemon.pid, SIGHUP);
    r2_daemon_expect_metric(&daemon, RELOADED("error"), 2);
    cr_expect(r2_daemon_logs(&daemon, "workers has changed, which needs a restart", 1000));
    write_text(config, "{\"que_depth\": 7}");
    kill(daemon.pid, SIGHUP);
    r2_daemon_expect_metric(&daemon, RELOADED("error"), 3);
    cr_expect(r2_daemon_logs(&daemon, "queue_depth", 1000));
    cr_expect_eq(classify(&daemon, &file), 200);
    r2_buffer_finish(&file);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

Test(reload, settings_change_too, .init = set_up, .fini = tear_down)
{
    struct r2_daemon daemon = start();
    struct r2_buffer file = r2_sample_jpeg(400, 400);
    cr_expect_eq(classify(&daemon, &file), 200);
    write_text(config, "{\"max_body\": 1024, \"queue_depth\": 3}");
    kill(daemon.pid, SIGHUP);
    r2_daemon_expect_metric(&daemon, RELOADED("ok"), 1);
    cr_expect_eq(classify(&daemon, &file), 413);
    cr_expect_eq(r2_daemon_metric(&daemon, "res2netd_queue_capacity"), 3);
    r2_buffer_finish(&file);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

static void expect_message(int fd, const char *start)
{
    char text[256] = {0};
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    cr_assert(recv(fd, text, sizeof text - 1, 0) > 0, "%s does not come", start);
    cr_expect(strncmp(text, start, strlen(start)) == 0, "%s instead of %s", text, start);
}

Test(reload, a_service_manager_is_told, .init = set_up, .fini = tear_down)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/notify", model);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    struct r2_daemon daemon = start();
    expect_message(fd, "READY=1");
    kill(daemon.pid, SIGHUP);
    expect_message(fd, "RELOADING=1\nMONOTONIC_USEC=");
    expect_message(fd, "READY=1");
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
    expect_message(fd, "STOPPING=1");
    close(fd);
    unlink(address.sun_path);
}
