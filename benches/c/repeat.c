// repeat: times commands against each other. Every round runs each command once, so that whatever else the machine
// does falls on all of them alike. A measurement is the time from posix_spawn to the end of waitpid; nothing is
// subtracted. One line a measurement on stdout: LABEL, tab, milliseconds (or "failed").
//
//   repeat [-n ROUNDS] [-w WARM-UPS] [-s SETTLE_MS] [-t TIMEOUT_S] {::: LABEL COMMAND [ARGUMENT...]}...
//
// "{}" within an argument becomes a number that no other execution of this process gets. Between two commands it
// sleeps SETTLE_MS: the kernel goes on destroying namespaces and cgroups after a command has returned, and that
// must not be charged to the next one.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_COMMANDS = 64, MAX_ARGUMENTS = 64 };

struct command {
  char *label;
  char *argv[MAX_ARGUMENTS + 1];
};

struct plan {
  int rounds, warm_ups, settle_ms, timeout_s, count;
  struct command commands[MAX_COMMANDS];
};

extern char **environ;
static volatile pid_t child;

static void die(const char *what, const char *which) {
  fprintf(stderr, "repeat: %s%s%s\n", what, which ? ": " : "", which ? which : "");
  exit(2);
}

static void on_alarm(int signal_number) {
  (void)signal_number;
  if (child > 0) kill(child, SIGKILL);
}

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

// A copy of `text` with its first "{}" replaced.
static char *numbered(const char *text, long number) {
  const char *mark = strstr(text, "{}");
  char *copy = NULL;
  int length = mark ? asprintf(&copy, "%.*s%ld%s", (int)(mark - text), text, number, mark + 2)
                    : asprintf(&copy, "%s", text);
  if (length < 0) die("out of memory", NULL);
  return copy;
}

// Runs `command` once; its milliseconds, or a negative number when it failed.
static double measure(const struct command *command, long number, int timeout_s,
                      const posix_spawn_file_actions_t *files) {
  char *argv[MAX_ARGUMENTS + 1] = {NULL};
  for (int i = 0; command->argv[i]; i++) argv[i] = numbered(command->argv[i], number);
  int status = 0;
  pid_t pid = 0;
  double start = now_ms();
  if (posix_spawnp(&pid, argv[0], files, NULL, argv, environ) != 0) die("cannot start", argv[0]);
  child = pid;
  alarm(timeout_s);
  while (waitpid(pid, &status, 0) < 0) continue;
  double elapsed = now_ms() - start;
  alarm(0);
  child = 0;
  for (int i = 0; argv[i]; i++) free(argv[i]);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? elapsed : -1;
}

static void run(const struct plan *plan) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
  long number = 0;
  for (int round = -plan->warm_ups; round < plan->rounds; round++)
    for (int i = 0; i < plan->count; i++) {
      const struct command *command = &plan->commands[i];
      double elapsed = measure(command, ++number, plan->timeout_s, &files);
      usleep(plan->settle_ms * 1000);
      if (round < 0) continue;
      if (elapsed < 0) printf("%s\tfailed\n", command->label);
      else printf("%s\t%.3f\n", command->label, elapsed);
    }
}

static void add_command(struct plan *plan, char **words, int count) {
  if (count < 2) die("a label needs a command", NULL);
  if (count - 1 > MAX_ARGUMENTS || plan->count == MAX_COMMANDS) die("too much", words[0]);
  struct command *command = &plan->commands[plan->count++];
  command->label = words[0];
  memcpy(command->argv, words + 1, (count - 1) * sizeof *words);
}

static void read_options(struct plan *plan, int argc, char **argv) {
  int option;
  while ((option = getopt(argc, argv, "+n:w:s:t:")) != -1) switch (option) {
      case 'n': plan->rounds = atoi(optarg); break;
      case 'w': plan->warm_ups = atoi(optarg); break;
      case 's': plan->settle_ms = atoi(optarg); break;
      case 't': plan->timeout_s = atoi(optarg); break;
      default: exit(2);
    }
}

int main(int argc, char **argv) {
  static struct plan plan = {.rounds = 20, .warm_ups = 2, .settle_ms = 60, .timeout_s = 60};
  read_options(&plan, argc, argv);
  for (int i = optind; i < argc;) {
    if (strcmp(argv[i], ":::")) die("expected ::: before", argv[i]);
    int end = i + 1;
    while (end < argc && strcmp(argv[end], ":::")) end++;
    add_command(&plan, argv + i + 1, end - i - 1);
    i = end;
  }
  struct sigaction action = {.sa_handler = on_alarm};
  sigaction(SIGALRM, &action, NULL);
  run(&plan);
  return 0;
}
