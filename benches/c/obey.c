// obey: a container's program that ends at SIGTERM, at once, and does nothing else.
#include <signal.h>
#include <unistd.h>

static void leave(int signal_number) {
  (void)signal_number;
  _exit(0);
}

int main(void) {
  signal(SIGTERM, leave);
  for (;;) pause();
}
