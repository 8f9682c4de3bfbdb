// The process that every contender starts. It says what it does on the pipe that COMPARE_MARKS names, a line each: what, its
// pid, and what CLOCK_MONOTONIC was, which is the same in all processes.
//
//   rank done         say so and end
//   rank idle         say "ready" and sleep
//   rank gate         say "ready" and sleep until a byte comes through COMPARE_GATE: who gets it says "raise" and fails.
//                     With COMPARE_STDIN it also ends with its standard input, as a port of Erlang's has to
//   rank lines BYTES  say "begin" and write about so many bytes, in numbered lines that bear the pid
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void mark(const char *what)
{
	struct timespec t;
	char line[64];
	int fd = open(getenv("COMPARE_MARKS"), O_WRONLY | O_CLOEXEC);

	clock_gettime(CLOCK_MONOTONIC, &t);
	int n = snprintf(line, sizeof line, "%s %d %lld\n", what, getpid(), t.tv_sec * 1000000000LL + t.tv_nsec);
	if (fd < 0 || write(fd, line, n) != n) // whole or not at all: it is shorter than PIPE_BUF
		exit(99);
	close(fd);
}

// wait_for_byte sleeps until a byte is ours, and returns 0 when standard input has ended instead.
static int wait_for_byte(int fd, int with_stdin)
{
	struct pollfd fds[2] = { { fd, POLLIN, 0 }, { 0, POLLIN, 0 } };
	char c;

	while (with_stdin) {
		poll(fds, 2, -1);
		if (fds[1].revents)
			return 0;
		if (read(fd, &c, 1) == 1) // all are woken, one gets it
			return 1;
	}
	return read(fd, &c, 1) == 1;
}

static int gate(void)
{
	int with_stdin = getenv("COMPARE_STDIN") != NULL;
	int fd = open(getenv("COMPARE_GATE"), O_RDONLY | O_CLOEXEC | (with_stdin ? O_NONBLOCK : 0));

	mark("ready");
	if (!wait_for_byte(fd, with_stdin))
		return 0;
	mark("raise");
	return 3;
}

static int lines(long bytes)
{
	static const char text[] = "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0123456789";
	long written = 0;

	mark("begin");
	for (long i = 0; written < bytes; i++)
		written += printf("r%d %08ld %s\n", getpid(), i, text);
	return fflush(stdout) ? 98 : 0;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	if (!strcmp(mode, "gate"))
		return gate();
	if (!strcmp(mode, "lines"))
		return lines(atol(argv[2]));
	if (!strcmp(mode, "idle")) {
		mark("ready");
		for (;;)
			pause();
	}
	mark("done");
	return 0;
}
