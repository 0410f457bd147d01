#include "server/cpus.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/settings.h"
#include "server/service.h"

Test(cpus, quota_texts)
{
    cr_expect_eq(r2_cpus_parse_max("200000 100000\n"), 2);
    cr_expect_eq(r2_cpus_parse_max("50000 100000"), 0.5);
    cr_expect_eq(r2_cpus_parse_max("-1 100000"), 0);
    static const char *const none[] = {"max 100000\n", "", "x", "5", "100000 0", "0 100000", "9 y"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        cr_expect_eq(r2_cpus_parse_max(none[i]), 0, "%s", none[i]);
}

Test(cpus, usable_cores)
{
    cr_expect_eq(r2_cpus_usable(8, 0), 8);
    cr_expect_eq(r2_cpus_usable(8, 16), 8);
    cr_expect_eq(r2_cpus_usable(8, 2.5), 2);
    cr_expect_eq(r2_cpus_usable(8, 0.2), 1);
    struct r2_cpus cpus;
    r2_cpus_read(&cpus);
    cr_expect(cpus.affinity >= 1 && cpus.usable >= 1 && cpus.usable <= cpus.affinity);
}

/* A made tree of control groups, below a directory of its own. */
static char root[] = "/tmp/r2-cpus-XXXXXX";

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s", root, dir);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s%s/%s", root, dir, name);
    FILE *file = fopen(path, "we");
    cr_assert(file);
    fputs(text, file);
    fclose(file);
}

static void remove_root(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", root);
    cr_assert_eq(system(command), 0);
}

Test(cpus, the_smallest_quota_of_a_branch_counts)
{
    cr_assert(mkdtemp(root));
    write_file("/a", "cpu.max", "150000 100000\n");
    write_file("/a/b", "cpu.max", "max 100000\n");
    write_file("/c", "cpu.max", "400000 100000\n");
    cr_expect_eq(r2_cpus_quota("0::/a/b\n", root), 1.5);
    cr_expect_eq(r2_cpus_quota("0::/c\n", root), 4);
    cr_expect_eq(r2_cpus_quota("0::/\n", root), 0);
    /* The path of the host, which a container does not see: its own group is the mount point. */
    write_file("", "cpu.max", "300000 100000\n");
    cr_expect_eq(r2_cpus_quota("0::/kubepods/pod1/x\n", root), 3);
    cr_expect_eq(r2_cpus_quota("0::/a/b\n", root), 1.5);
    cr_expect_eq(r2_cpus_quota("nonsense\n\n:\n0::/../../etc\n", root), 0);
    remove_root();
}

Test(cpus, version_1)
{
    cr_assert(mkdtemp(root));
    write_file("/cpu", "cpu.cfs_quota_us", "-1\n");
    write_file("/cpu", "cpu.cfs_period_us", "100000\n");
    write_file("/cpu/x", "cpu.cfs_quota_us", "250000\n");
    write_file("/cpu/x", "cpu.cfs_period_us", "100000\n");
    cr_expect_eq(r2_cpus_quota("3:cpuset:/x\n1:cpu:/x\n0::/\n", root), 2.5);
    cr_expect_eq(r2_cpus_quota("4:cpuacct,cpu:/x\n", root), 2.5);
    cr_expect_eq(r2_cpus_quota("1:cpuset:/x\n", root), 0);
    cr_expect_eq(r2_cpus_quota("1:cpu:/\n", root), 0);
    remove_root();
}

Test(cpus, shares)
{
    static const struct {
        int64_t workers, threads;
        unsigned cpus;
        struct r2_shares shares;
    } cases[] = {
        {R2_AUTO, R2_AUTO, 4, {4, 1, 4}},
        {R2_AUTO, R2_AUTO, 1, {1, 1, 1}},
        {2, R2_AUTO, 8, {2, 4, 8}},
        {16, R2_AUTO, 4, {16, 1, 4}},
        {R2_AUTO, 3, 8, {2, 3, 3}},
        {R2_AUTO, 16, 8, {1, 16, 16}},
        {2, 3, 8, {2, 3, 3}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct r2_settings settings = {.workers = cases[i].workers, .threads = cases[i].threads};
        struct r2_shares shares = r2_shares_plan(&settings, cases[i].cpus);
        cr_expect_eq(shares.workers, cases[i].shares.workers, "%zu", i);
        cr_expect_eq(shares.threads, cases[i].shares.threads, "%zu", i);
        cr_expect_eq(shares.threads_alone, cases[i].shares.threads_alone, "%zu", i);
    }
}
