// check: what health checks cost at least. For each process given, in turns: a child in all of its namespaces and its
// root that executes a command with its output in a pipe; its end is awaited. Nothing else is done: no cgroup, no
// capabilities, no seccomp, no record.
//
//   check ROUNDS PID[,PID...] COMMAND [ARGUMENT...]
//
// Prints microseconds of processor time for one check, children included.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 1024 };
static const int KINDS = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET;

static void die(const char *what) {
  perror(what);
  exit(2);
}

static double microseconds(int whose) {
  struct rusage used;
  getrusage(whose, &used);
  return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 + used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}

static void become(int target, int root, int output, char **argv) {
  dup2(output, 1);
  dup2(output, 2);
  if (setns(target, KINDS)) die("setns");
  if (fchdir(root) || chroot(".")) die("chroot");
  execv(argv[0], argv);
  die(argv[0]);
}

static void once(int target, int root, int own, char **argv) {
  int ends[2], status;
  char text[4096];
  if (pipe2(ends, O_CLOEXEC)) die("pipe");
  if (setns(target, CLONE_NEWPID)) die("setns");
  pid_t child = fork();
  if (child < 0) die("fork");
  if (child == 0) become(target, root, ends[1], argv);
  if (setns(own, CLONE_NEWPID)) die("setns back");
  close(ends[1]);
  while (read(ends[0], text, sizeof text) > 0) continue;
  close(ends[0]);
  if (waitpid(child, &status, 0) != child || status) fprintf(stderr, "check: status %d\n", status), exit(1);
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  int rounds = atoi(argv[1]), count = 0, targets[MOST], roots[MOST];
  for (char *word = strtok(argv[2], ","); word && count < MOST; word = strtok(NULL, ","), count++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/root", word);
    targets[count] = syscall(SYS_pidfd_open, atoi(word), 0);
    roots[count] = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (targets[count] < 0 || roots[count] < 0) die(word);
  }
  int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
  double before = microseconds(RUSAGE_SELF) + microseconds(RUSAGE_CHILDREN);
  for (int round = 0; round < rounds; round++)
    for (int i = 0; i < count; i++) once(targets[i], roots[i], own, argv + 3);
  double used = microseconds(RUSAGE_SELF) + microseconds(RUSAGE_CHILDREN) - before;
  printf("%.1f\n", used / rounds / count);
  return 0;
}
