// ask: asks a name server for one name again and again, each question after the answer to the one before it. One line a
// question on stdout: milliseconds.
//
//   ask SERVER NAME TIMES
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

// Header, the name's labels, type A, class IN.
static size_t question(unsigned char *to, const char *name) {
  size_t at = 12;
  memset(to, 0, 12);
  to[2] = 1;
  to[5] = 1;
  for (const char *label = name; *label;) {
    size_t length = strcspn(label, ".");
    to[at++] = (unsigned char)length;
    memcpy(to + at, label, length);
    at += length;
    label += length + (label[length] == '.');
  }
  memcpy(to + at, "\0\0\1\0\1", 5);
  return at + 5;
}

int main(int argc, char **argv) {
  if (argc != 4 || strlen(argv[2]) > 60) return fprintf(stderr, "ask SERVER NAME TIMES\n"), 2;
  struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(53)};
  inet_pton(AF_INET, argv[1], &server.sin_addr);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct timeval patience = {.tv_sec = 2};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0) return perror("connect"), 1;
  unsigned char asked[512], answer[512];
  size_t length = question(asked, argv[2]);
  for (long n = atol(argv[3]); n > 0; n--) {
    asked[0] = (unsigned char)(n >> 8), asked[1] = (unsigned char)n;
    double begin = now_ms();
    if (send(fd, asked, length, 0) < 0) return perror("send"), 1;
    ssize_t got = recv(fd, answer, sizeof answer, 0);
    if (got < 12 || answer[7] == 0) return fprintf(stderr, "ask: no answer\n"), 1;
    printf("%.4f\n", now_ms() - begin);
  }
  return 0;
}
