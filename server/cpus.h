/*
 * How many CPUs this process may use: its affinity mask and its control groups' quota.
 */
#ifndef R2_SERVER_CPUS_H
#define R2_SERVER_CPUS_H

struct r2_cpus {
    unsigned affinity; /* CPUs of the mask, at least 1 */
    double quota;      /* cores; 0 = no quota */
    unsigned usable;   /* threads that run at once without being throttled, at least 1 */
};

void r2_cpus_read(struct r2_cpus *ret);

/* The smallest quota, in cores, of the process's control groups and their parents; 0 when there is
   none. `membership` is the text of /proc/self/cgroup, `root` where the groups are mounted
   (/sys/fs/cgroup). Knows version 2 (cpu.max) and version 1 (cpu.cfs_quota_us). */
double r2_cpus_quota(const char *membership, const char *root);

/* "200000 100000" is 2; "max 100000", and what is not understood, 0. */
double r2_cpus_parse_max(const char *text);

/* Whole cores of both, rounded down, at least 1. */
unsigned r2_cpus_usable(unsigned affinity, double quota);

#endif
