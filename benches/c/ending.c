// ending: how long a command goes on after a process has ended that it is to end.
//
//   ending PID COMMAND [ARGUMENT...]
//
// Starts the command and watches both; prints the milliseconds from the end of PID to the end of the command (0 when the
// command was quicker), or "failed" when the command did. The end of PID is the moment its pidfd becomes readable.
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void die(const char *what) {
  perror(what);
  exit(2);
}

static pid_t start(char **argv) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
  pid_t pid;
  if (posix_spawnp(&pid, argv[0], &files, NULL, argv, environ) != 0) die(argv[0]);
  return pid;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  struct pollfd watched[2] = {{.events = POLLIN}, {.events = POLLIN}};
  watched[0].fd = syscall(SYS_pidfd_open, atoi(argv[1]), 0);
  if (watched[0].fd < 0) die("the process");
  pid_t command = start(argv + 2);
  watched[1].fd = syscall(SYS_pidfd_open, command, 0);
  double ended[2] = {0, 0};
  while (!ended[0] || !ended[1]) {
    if (poll(watched, 2, 30000) <= 0) break;
    for (int i = 0; i < 2; i++)
      if (watched[i].revents) ended[i] = now_ms(), watched[i].fd = -1, watched[i].revents = 0;
  }
  int status = 0;
  waitpid(command, &status, 0);
  if (!ended[0] || !WIFEXITED(status) || WEXITSTATUS(status)) puts("failed");
  else printf("%.3f\n", ended[1] > ended[0] ? ended[1] - ended[0] : 0);
  return 0;
}
