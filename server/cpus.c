#include "server/cpus.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 1024, FILE_SIZE = 4096 };

/* Files of /proc and /sys have no size of their own; they are read up to ret's. */
static bool read_text(const char *path, char *ret, size_t ret_size)
{
    FILE *file = fopen(path, "re");
    if (!file) return false;
    size_t size = fread(ret, 1, ret_size - 1, file);
    fclose(file);
    ret[size] = 0;
    return true;
}

double r2_cpus_parse_max(const char *text)
{
    char *end;
    double quota = strtod(text, &end);
    if (end == text) return 0;
    double period = strtod(end, NULL);
    return quota > 0 && period > 0 ? quota / period : 0;
}

static double quota_v2(const char *dir)
{
    char path[PATH_SIZE + 16], text[FILE_SIZE];
    snprintf(path, sizeof path, "%s/cpu.max", dir);
    return read_text(path, text, sizeof text) ? r2_cpus_parse_max(text) : 0;
}

static double quota_v1(const char *dir)
{
    char path[PATH_SIZE + 32], quota[FILE_SIZE / 2], text[FILE_SIZE];
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", dir);
    if (!read_text(path, quota, sizeof quota)) return 0;
    quota[strcspn(quota, "\n")] = 0;
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", dir);
    size_t used = (size_t)snprintf(text, sizeof text, "%s ", quota);
    if (!read_text(path, text + used, sizeof text - used)) return 0;
    return r2_cpus_parse_max(text); /* no quota is -1 here */
}

/* From the group up to the mount point. In a container the group's own path is often not mounted:
   then its quota stands in a parent, at the latest in the mount point itself. */
static double smallest(const char *mount, const char *group, double (*quota)(const char *dir))
{
    char dir[PATH_SIZE];
    double least = 0;
    size_t mount_size = strlen(mount);
    int size = snprintf(dir, sizeof dir, "%s%s", mount, group);
    if (size < 0 || (size_t)size >= sizeof dir) snprintf(dir, sizeof dir, "%s", mount);
    for (;;) {
        double here = quota(dir);
        if (here > 0 && (least == 0 || here < least)) least = here;
        char *slash = strrchr(dir, '/');
        if (!slash || slash < dir + mount_size) return least;
        *slash = 0;
    }
}

static bool lists_cpu(const char *controllers)
{
    char copy[256];
    char *rest = copy, *name;
    snprintf(copy, sizeof copy, "%s", controllers);
    while ((name = strsep(&rest, ",")))
        if (strcmp(name, "cpu") == 0) return true;
    return false;
}

double r2_cpus_quota(const char *membership, const char *root)
{
    char text[FILE_SIZE], mount[PATH_SIZE];
    char *rest = text, *line;
    double least = 0;
    snprintf(text, sizeof text, "%s", membership);
    while ((line = strsep(&rest, "\n"))) { /* "4:cpu,cpuacct:/group", version 2: "0::/group" */
        char *id = strsep(&line, ":"), *controllers = strsep(&line, ":");
        double here = 0;
        if (!line || strstr(line, "..")) continue;
        if (strcmp(id, "0") == 0 && !*controllers) {
            here = smallest(root, line, quota_v2);
        } else if (lists_cpu(controllers)) {
            snprintf(mount, sizeof mount, "%s/%s", root, controllers);
            if (access(mount, X_OK) != 0) snprintf(mount, sizeof mount, "%s/cpu", root);
            here = smallest(mount, line, quota_v1);
        }
        if (here > 0 && (least == 0 || here < least)) least = here;
    }
    return least;
}

unsigned r2_cpus_usable(unsigned affinity, double quota)
{
    if (quota <= 0 || quota >= affinity) return affinity;
    return quota < 1 ? 1 : (unsigned)quota;
}

void r2_cpus_read(struct r2_cpus *ret)
{
    char membership[FILE_SIZE];
    cpu_set_t set;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned affinity = online > 0 ? (unsigned)online : 1;
    /* Fails on machines with more than 1024 CPUs: the number that is online serves there. */
    if (sched_getaffinity(0, sizeof set, &set) == 0) affinity = (unsigned)CPU_COUNT(&set);
    double quota = 0;
    if (read_text("/proc/self/cgroup", membership, sizeof membership))
        quota = r2_cpus_quota(membership, "/sys/fs/cgroup");
    *ret = (struct r2_cpus){affinity, quota, r2_cpus_usable(affinity, quota)};
}
