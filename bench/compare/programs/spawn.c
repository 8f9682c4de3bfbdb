// spawn N PROGRAM [ARG…] starts N processes with posix_spawn, one after the other, waits for all of them, and says "took" with
// the nanoseconds: nothing that owns its processes can be faster. One that is not counted comes first.
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void run(int n, char **argv)
{
	pid_t pid;
	int status;

	for (int i = 0; i < n; i++)
		if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ))
			exit(97);
	for (int i = 0; i < n; i++)
		if (wait(&status) < 0 || status)
			exit(96);
}

int main(int argc, char **argv)
{
	char *nothing[] = { "/bin/true", NULL };

	(void)argc;
	run(1, nothing);
	long long start = now();
	run(atoi(argv[1]), argv + 2);
	long long took = now() - start;
	int fd = open(getenv("COMPARE_MARKS"), O_WRONLY | O_CLOEXEC);
	return dprintf(fd, "took %d %lld\n", getpid(), took) < 0;
}
