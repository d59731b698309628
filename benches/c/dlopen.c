// dlopen FILE...: the microseconds of processor time that the dynamic loader takes for each file and for all, without
// anything of Gantry: the floor under loading plugins. Linked with libgcc_s, as every program in Rust is.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <time.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

int main(int count, char **files) {
  double first = now();
  for (int i = 1; i < count; i++) {
    double begin = now();
    if (!dlopen(files[i], RTLD_NOW | RTLD_LOCAL)) return fprintf(stderr, "%s\n", dlerror()), 1;
    printf("%.0f ", now() - begin);
  }
  printf("%.0f\n", now() - first);
  return 0;
}
