#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/verbs.h"

extern char **environ;

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
    make_openmp_passive(argv);
    return r2_program_run(argc, argv, environ);
}
