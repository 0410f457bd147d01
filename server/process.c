#include "server/process.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct usage {
    double cpu_seconds, start_seconds; /* start: since boot */
    double threads, virtual_bytes, resident_bytes;
};

/* Fields of /proc/self/stat by their number in proc(5); the name (field 2) may hold anything. */
static bool read_stat(struct usage *ret)
{
    char line[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    if (!file) return false;
    size_t size = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[size] = 0;
    char *rest = strrchr(line, ')'), *word;
    double fields[25] = {0}, ticks = (double)sysconf(_SC_CLK_TCK);
    if (!rest) return false;
    rest += 2;
    for (int i = 3; i < 25 && (word = strsep(&rest, " ")); i++) fields[i] = strtod(word, NULL);
    *ret = (struct usage){
        .cpu_seconds = (fields[14] + fields[15]) / ticks,
        .threads = fields[20],
        .start_seconds = fields[22] / ticks,
        .virtual_bytes = fields[23],
        .resident_bytes = fields[24] * (double)sysconf(_SC_PAGESIZE),
    };
    return true;
}

static double boot_time(void)
{
    char line[256];
    double seconds = 0;
    FILE *file = fopen("/proc/stat", "re");
    if (!file) return 0;
    while (seconds == 0 && fgets(line, sizeof line, file))
        if (strncmp(line, "btime ", 6) == 0) seconds = strtod(line + 6, NULL);
    fclose(file);
    return seconds;
}

static int count_fds(void)
{
    int count = 0;
    struct dirent *entry;
    DIR *dir = opendir("/proc/self/fd");
    if (!dir) return -1;
    while ((entry = readdir(dir))) count += entry->d_name[0] != '.';
    closedir(dir);
    return count - 1; /* the directory's own */
}

void r2_process_render(const struct r2_exposition *out)
{
    struct usage usage;
    struct rlimit limit;
    if (read_stat(&usage)) {
        r2_exposition_number(out, "process_cpu_seconds_total", "counter",
                             "User and system CPU time.", usage.cpu_seconds);
        r2_exposition_number(out, "process_threads", "gauge", "Threads.", usage.threads);
        r2_exposition_number(out, "process_virtual_memory_bytes", "gauge", "Virtual memory.",
                             usage.virtual_bytes);
        r2_exposition_number(out, "process_resident_memory_bytes", "gauge", "Resident memory.",
                             usage.resident_bytes);
        double boot = boot_time();
        if (boot > 0)
            r2_exposition_number(out, "process_start_time_seconds", "gauge",
                                 "Start, since the Unix epoch.", boot + usage.start_seconds);
    }
    int fds = count_fds();
    if (fds >= 0)
        r2_exposition_number(out, "process_open_fds", "gauge", "Open file descriptors.", fds);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        r2_exposition_number(out, "process_max_fds", "gauge", "Limit of open file descriptors.",
                             (double)limit.rlim_cur);
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        r2_exposition_number(out, "process_virtual_memory_max_bytes", "gauge",
                             "Limit of virtual memory.", (double)limit.rlim_cur);
}
