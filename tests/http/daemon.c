#include "tests/http/daemon.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <jpeglib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/http/client.h"

enum { START_MS = 60000, STOP_MS = 30000, TICK_MS = 5, ARGUMENTS = 40 };

static const char *need(const char *name)
{
    const char *value = getenv(name);
    cr_assert(value, "%s is not set", name);
    return value;
}

static void tick(void)
{
    nanosleep(&(struct timespec){0, TICK_MS * 1000000}, NULL);
}

/* Writes go to the end: threads that write to a memfd, and read_whole, would race for its offset,
 * which the kernel guards for other files. */
static int output_file(void)
{
    int fd = memfd_create("output", MFD_CLOEXEC);
    cr_assert(fd >= 0 && fcntl(fd, F_SETFL, O_APPEND) == 0);
    return fd;
}

static char *read_whole(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = calloc((size_t)size + 1, 1);
    cr_assert(text && pread(fd, text, (size_t)size, 0) == size);
    return text;
}

/* The child dies with the test, whatever becomes of it. */
static pid_t spawn(char **argv, int output, int error)
{
    pid_t pid = fork();
    cr_assert(pid >= 0);
    if (pid) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (output >= 0) dup2(output, STDOUT_FILENO);
    dup2(error, STDERR_FILENO);
    execv(argv[0], argv);
    _exit(127);
}

/* execv wants pointers that are not const, though it changes nothing. */
static char *argument(const char *text)
{
    char *copy = strdup(text);
    cr_assert(copy);
    return copy;
}

static void free_arguments(char **argv)
{
    for (size_t i = 0; argv[i]; i++) free(argv[i]);
}

struct r2_daemon r2_daemon_start(const char *const *options)
{
    const char *const usual[] = {"serve", "--listen", "127.0.0.1:0", "--model",
                                 need("R2_TEST_MODEL")};
    char *argv[ARGUMENTS] = {argument(need("R2_DAEMON"))};
    size_t count = 1;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) argv[count++] = argument(usual[i]);
    for (size_t i = 0; options && options[i]; i++) {
        cr_assert(count + 1 < ARGUMENTS);
        argv[count++] = argument(options[i]);
    }
    struct r2_daemon daemon = {.log = output_file()};
    daemon.pid = spawn(argv, -1, daemon.log);
    free_arguments(argv);
    bool ready = r2_daemon_logs(&daemon, "ready", START_MS);
    char *log = r2_daemon_log(&daemon);
    char *port = strstr(log, "127.0.0.1:");
    cr_assert(ready && port, "the daemon did not start: %s", log);
    daemon.port = (uint16_t)atoi(port + strlen("127.0.0.1:"));
    free(log);
    return daemon;
}

int r2_daemon_wait(struct r2_daemon *daemon)
{
    int status;
    uint64_t end_ns = r2_clock_ns() + STOP_MS * UINT64_C(1000000);
    while (waitpid(daemon->pid, &status, WNOHANG) == 0) {
        cr_assert(r2_clock_ns() < end_ns, "the daemon does not stop: %s", r2_daemon_log(daemon));
        tick();
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int r2_daemon_stop(struct r2_daemon *daemon)
{
    kill(daemon->pid, SIGTERM);
    return r2_daemon_wait(daemon);
}

char *r2_daemon_log(const struct r2_daemon *daemon)
{
    return read_whole(daemon->log);
}

bool r2_daemon_logs(const struct r2_daemon *daemon, const char *text, int timeout_ms)
{
    uint64_t end_ns = r2_clock_ns() + (uint64_t)timeout_ms * 1000000;
    for (;;) {
        siginfo_t info = {0}; /* asked before the log is read, so that last words count */
        bool ended = waitid(P_PID, (id_t)daemon->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
                     info.si_pid != 0;
        char *log = r2_daemon_log(daemon);
        bool found = strstr(log, text) != NULL;
        free(log);
        if (found) return true;
        if (ended || r2_clock_ns() >= end_ns) return false;
        tick();
    }
}

double r2_daemon_metric(const struct r2_daemon *daemon, const char *name)
{
    struct r2_response response = r2_client_get(daemon->port, "/metrics");
    size_t size = strlen(name);
    double value = -1;
    for (const char *line = response.body; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, size) != 0 || line[size] != ' ') continue;
        value = strtod(line + size, NULL);
        break;
    }
    cr_assert(value >= 0, "no metric %s", name);
    r2_response_finish(&response);
    return value;
}

void r2_daemon_expect_metric(const struct r2_daemon *daemon, const char *name, double value)
{
    uint64_t end_ns = r2_clock_ns() + UINT64_C(5000000000);
    double is;
    while ((is = r2_daemon_metric(daemon, name)) < value) {
        if (r2_clock_ns() > end_ns) {
            cr_expect(false, "%s is %g, not %g", name, is, value);
            return;
        }
        tick();
    }
}

int r2_program_call(const char *const *arguments, char **ret_output, char **ret_error)
{
    char *argv[ARGUMENTS] = {argument(need("R2_DAEMON"))};
    for (size_t i = 0; arguments[i]; i++) argv[i + 1] = argument(arguments[i]);
    int output = output_file(), error = output_file();
    int status;
    pid_t pid = spawn(argv, output, error);
    free_arguments(argv);
    cr_assert(waitpid(pid, &status, 0) == pid);
    if (ret_output) *ret_output = read_whole(output);
    if (ret_error) *ret_error = read_whole(error);
    close(output);
    close(error);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

struct r2_buffer r2_sample_file(const char *name)
{
    char path[4096];
    struct r2_buffer file = {0};
    struct r2_error err;
    snprintf(path, sizeof path, "%s/golden/image/%s", need("R2_TEST_DATA"), name);
    cr_assert(r2_file_read(path, 1 << 20, &file, &err) == R2_OK, "%s", err.message);
    return file;
}

struct r2_buffer r2_sample_jpeg(unsigned width, unsigned height)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *data = NULL;
    unsigned long size = 0;
    struct r2_buffer file = {0};
    struct r2_error err;
    JSAMPLE *row = calloc(width, 3);
    cr_assert(row);
    for (unsigned i = 0; i < width * 3; i++) row[i] = (JSAMPLE)(i * 7);
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &data, &size);
    jpeg.image_width = width;
    jpeg.image_height = height;
    jpeg.input_components = 3;
    jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    while (jpeg.next_scanline < height) jpeg_write_scanlines(&jpeg, &row, 1);
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    cr_assert(r2_buffer_append(&file, data, size, &err) == R2_OK);
    free(data);
    free(row);
    return file;
}
