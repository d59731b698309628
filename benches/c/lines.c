// lines COUNT LENGTH: writes COUNT lines of LENGTH bytes each, the newline included, 64 KiB a write, as a program
// does whose output is buffered. It runs inside the containers, so it is linked statically.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WRITE_SIZE = 1 << 16 };

static void write_all(const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t written = write(STDOUT_FILENO, bytes, length);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) exit(1);
    bytes += written;
    length -= written;
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  long count = atol(argv[1]), length = atol(argv[2]);
  if (count < 0 || length < 1 || length > WRITE_SIZE) return 2;
  // One line more than a write holds: output is then always one contiguous piece of the repeated line.
  char *text = malloc(WRITE_SIZE + length);
  if (!text) return 1;
  for (long i = 0; i < WRITE_SIZE + length; i++) text[i] = i % length == length - 1 ? '\n' : 'a' + i % length % 26;
  for (long left = count * length, at = 0; left > 0;) {
    long piece = left < WRITE_SIZE ? left : WRITE_SIZE;
    write_all(text + at, piece);
    at = (at + piece) % length;
    left -= piece;
  }
  return 0;
}
