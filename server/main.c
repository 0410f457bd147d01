#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/verbs.h"

extern char **environ;

/* On less, oneDNN computes convolutions by reference code, hundreds of times slower. Our own
   code is for the architecture's base, save clones that are chosen when it runs, so that this can be
   said on any processor. */
static bool has_instructions(void)
{
#ifdef __x86_64__
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return true;
#endif
}

/* OpenMP's threads spin for a while after each piece of work, and would take the CPU from other
   workers. libgomp reads this variable when it is loaded, before main: so the program starts itself
   again with it, once, because it is set from then on. When that fails it is merely slower. */
static void make_openmp_passive(char **argv)
{
    char path[PATH_MAX];
    if (getenv("OMP_WAIT_POLICY")) return;
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    if (size <= 0 || setenv("OMP_WAIT_POLICY", "passive", 1) != 0) return;
    path[size] = 0;
    execv(path, argv);
}

int main(int argc, char **argv)
{
    if (!has_instructions()) {
        fputs("res2netd: this processor has no AVX2 or no FMA; res2netd needs both\n", stderr);
        return R2_EXIT_FAILED;
    }
    make_openmp_passive(argv);
    return r2_program_run(argc, argv, environ);
}
