// pump FILE: what a log cannot cost less than. Reads lines from standard input, writes them to FILE as a json-file log has
// them, one time for each read. It escapes nothing, keeps nothing for a successor and counts nothing.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { READ_SIZE = 1 << 16, PIPE_SIZE = 1 << 20 };

static char input[2 * READ_SIZE], output[1 << 22];
static size_t used;

static void put(const char *bytes, size_t length) {
  memcpy(output + used, bytes, length);
  used += length;
}

static void flush_to(int file) {
  for (size_t at = 0; at < used;) {
    ssize_t written = write(file, output + at, used - at);
    if (written < 0 && errno != EINTR) exit(1);
    if (written > 0) at += written;
  }
  used = 0;
}

// The end of a record, its time included.
static size_t tail(char *into, size_t size) {
  struct timespec now;
  struct tm parts;
  char day[32];
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &parts);
  strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &parts);
  return snprintf(into, size, "\\n\",\"stream\":\"stdout\",\"time\":\"%s.%09ldZ\"}\n", day, now.tv_nsec);
}

int main(int argc, char **argv) {
  int file = argc == 2 ? open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
  if (file < 0) return 2;
  fcntl(STDIN_FILENO, F_SETPIPE_SZ, PIPE_SIZE);
  size_t held = 0;
  for (ssize_t got; (got = read(STDIN_FILENO, input + held, READ_SIZE)) > 0;) {
    char end[96], *line = input, *newline;
    size_t length = tail(end, sizeof end);
    held += got;
    while ((newline = memchr(line, '\n', input + held - line))) {
      put("{\"log\":\"", 8);
      put(line, newline - line);
      put(end, length);
      line = newline + 1;
    }
    held = input + held - line;
    if (held > READ_SIZE) return 1;
    memmove(input, line, held);
    flush_to(file);
  }
  return 0;
}
