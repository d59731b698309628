// http: asks a server at a unix socket over HTTP/1.1.
//
//   http SOCKET times PATH COUNT PERIOD_US   the same request again and again on one connection, one every PERIOD_US
//                                            (0: each after the answer to the one before). One line a request:
//                                            milliseconds from the moment it was due to the end of the answer.
//   http SOCKET drain PATH                   one request, read to its end: seconds and bytes.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 1 << 20 };
static char buffer[ROOM];

static void die(const char *what) {
  fprintf(stderr, "http: %s\n", what);
  exit(2);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void sleep_until(double when) {
  struct timespec t = {(time_t)when, (long)((when - (time_t)when) * 1e9)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
  }
}

static int dial(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) die("the socket's path is too long");
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) die("cannot connect");
  return fd;
}

static void ask(int fd, const char *path, const char *connection) {
  char request[4096];
  int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: %s\r\n\r\n", path, connection);
  if (length >= (int)sizeof request) die("the path is too long");
  if (write(fd, request, length) != length) die("cannot write");
}

static size_t take(int fd, size_t at) {
  if (at >= ROOM - 1) die("the answer is too long");
  ssize_t count = read(fd, buffer + at, ROOM - 1 - at);
  if (count <= 0) die("the server closed");
  return at + count;
}

// Head and body of an answer with a length.
static void whole(int fd) {
  size_t at = 0;
  char *end = NULL;
  while (!end) {
    at = take(fd, at);
    buffer[at] = 0;
    end = strstr(buffer, "\r\n\r\n");
  }
  if (strncmp(buffer, "HTTP/1.1 200", 12)) die("the server refused");
  char *header = strcasestr(buffer, "\r\ncontent-length:");
  if (!header || header > end) die("an answer without length");
  size_t wanted = (end - buffer) + 4 + strtoul(header + 17, NULL, 10);
  while (at < wanted) at = take(fd, at);
}

static void times(int fd, const char *path, long count, double period) {
  double begin = now();
  for (long i = 0; i < count; i++) {
    double due = period > 0 ? begin + i * period : now();
    if (period > 0) sleep_until(due);
    ask(fd, path, "keep-alive");
    whole(fd);
    printf("%.4f\n", (now() - due) * 1e3);
  }
}

static void drain(int fd, const char *path) {
  double begin = now();
  unsigned long long bytes = 0;
  ask(fd, path, "close");
  for (ssize_t count; (count = read(fd, buffer, ROOM)) > 0;) bytes += count;
  printf("%.6f %llu\n", now() - begin, bytes);
}

int main(int argc, char **argv) {
  if (argc == 6 && !strcmp(argv[2], "times")) {
    times(dial(argv[1]), argv[3], atol(argv[4]), atof(argv[5]) / 1e6);
  } else if (argc == 4 && !strcmp(argv[2], "drain")) {
    drain(dial(argv[1]), argv[3]);
  } else {
    die("SOCKET times PATH COUNT PERIOD_US | SOCKET drain PATH");
  }
  return 0;
}
