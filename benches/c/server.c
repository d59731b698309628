// server: a log server that is no good. Listens on a stream socket, accepts everybody, and reads nothing (`hole`) or ten
// lines a second (`slow`).
//
//   server PATH hole|slow
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAX_CLIENTS = 64 };

// One line of a client, byte by byte.
static void read_line(int client) {
  char byte;
  while (recv(client, &byte, 1, MSG_DONTWAIT) == 1)
    if (byte == '\n') return;
}

int main(int argc, char **argv) {
  if (argc != 3 || strlen(argv[1]) >= sizeof(((struct sockaddr_un *)0)->sun_path)) return 2;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, argv[1]);
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), clients[MAX_CLIENTS], count = 0;
  unlink(argv[1]);
  if (bind(listener, (void *)&address, sizeof address) != 0 || listen(listener, MAX_CLIENTS) != 0) return 1;
  for (;;) {
    struct pollfd door = {.fd = listener, .events = POLLIN};
    if (poll(&door, 1, 100) > 0 && count < MAX_CLIENTS) clients[count++] = accept(listener, NULL, NULL);
    if (strcmp(argv[2], "slow") != 0) continue;
    for (int i = 0; i < count; i++) read_line(clients[i]);
  }
}
