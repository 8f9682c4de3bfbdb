/* A Muster worker in C: it speaks the protocol of docs/protocol.md with nothing but libc.
 *
 *     cc -std=c11 -O2 -pthread -o worker worker.c
 *     launch -n 2 --speaks ./worker sum 1 2 3
 *     launch -n 2 --speaks ./worker sum 1 two      # NumberError: "two" is no whole number
 *
 * The first part is the wire, the second what a worker says, the third the work. One thread works; another one listens
 * and sends heartbeats, so that a busy worker is not taken for a dead one. Without MUSTER_FD it is a program like any
 * other. Where memory runs out it aborts, which the supervisor sees. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HELLO = 1, WELCOME = 2, READY = 3, EXCEPTION = 4, RESULT = 5, HEARTBEAT = 6, STOP = 9 };
enum { VERSION = 1, HEAD = 6, MORE = 1, FRAME = 1 << 20 };

/* ---- The wire: msgpack ---- */

/* A body is a message that is being written. */
struct body { uint8_t *data; size_t size, room; };

static void put(struct body *b, const void *data, size_t size) {
	if (b->size + size > b->room) {
		b->room = 2 * (b->size + size);
		if (!(b->data = realloc(b->data, b->room))) abort();
	}
	memcpy(b->data + b->size, data, size);
	b->size += size;
}

/* put_number writes a code and the last bytes of a number, the highest first. */
static void put_number(struct body *b, uint8_t code, uint64_t n, int bytes) {
	uint8_t out[9] = {code};
	for (int i = 0; i < bytes; i++) out[1 + i] = (uint8_t)(n >> 8 * (bytes - 1 - i));
	put(b, out, 1 + (size_t)bytes);
}

/* put_sized writes a number in as few bytes as will do: the codes for 1, 2, 4 and 8 bytes follow each other. */
static void put_sized(struct body *b, uint8_t code, uint64_t n) {
	int step = n > UINT32_MAX ? 3 : n > UINT16_MAX ? 2 : n > UINT8_MAX;
	put_number(b, (uint8_t)(code + step), n, 1 << step);
}

static void put_int(struct body *b, int64_t n) {
	int step = n < INT32_MIN ? 3 : n < INT16_MIN ? 2 : n < INT8_MIN;
	if (n >= -32 && n < 128) put_number(b, (uint8_t)n, 0, 0);
	else if (n >= 0) put_sized(b, 0xcc, (uint64_t)n);
	else put_number(b, (uint8_t)(0xd0 + step), (uint64_t)n, 1 << step);
}

static void put_text(struct body *b, const char *text, size_t n) {
	if (n < 32) put_number(b, (uint8_t)(0xa0 | n), 0, 0);
	else put_sized(b, 0xd9, n);
	put(b, text, n);
}

static void put_str(struct body *b, const char *text) { put_text(b, text, strlen(text)); }

static void put_bin(struct body *b, const struct body *value) {
	put_sized(b, 0xc4, value->size);
	put(b, value->data, value->size);
}

static void put_count(struct body *b, uint8_t small, uint8_t large, int n) {
	if (n < 16) put_number(b, (uint8_t)(small | n), 0, 0);
	else put_number(b, (uint8_t)(large + (n > UINT16_MAX)), (uint64_t)n, n > UINT16_MAX ? 4 : 2);
}

/* put_map and put_array begin a map or an array: its entries follow. */
static void put_map(struct body *b, int n) { put_count(b, 0x80, 0xde, n); }
static void put_array(struct body *b, int n) { put_count(b, 0x90, 0xdc, n); }

/* A cursor is a place in a message that is being read. Past the end everything is 0. */
struct cursor { const uint8_t *at, *end; };

static uint64_t get_number(struct cursor *c, int bytes) {
	uint64_t n = 0;
	if (c->end - c->at < bytes) c->at = c->end;
	else while (bytes-- > 0) n = n << 8 | *c->at++;
	return n;
}

static int64_t get_signed(struct cursor *c, int bytes) {
	int unused = 64 - 8 * bytes;
	return (int64_t)(get_number(c, bytes) << unused) >> unused;
}

/* A value is what get found: a number, the bytes of a text, or the number of values that follow in a map or an array. */
struct value { int64_t number; const char *text; size_t size; uint64_t inside; };

static struct value get(struct cursor *c) {
	struct value v = {0};
	uint8_t code = (uint8_t)get_number(c, 1);
	uint64_t bytes = 0;
	if (code < 0x80 || code >= 0xe0) v.number = (int8_t)code;
	else if (code < 0x90) v.inside = 2 * (code & 0x0fu);
	else if (code < 0xa0) v.inside = code & 0x0fu;
	else if (code < 0xc0) bytes = code & 0x1fu;
	else if (code < 0xc4) v.number = code == 0xc3; /* nil, false, true */
	else if (code < 0xc7) bytes = get_number(c, 1 << (code - 0xc4)); /* bin */
	else if (code < 0xca) bytes = get_number(c, 1 << (code - 0xc7)) + 1; /* ext, and its type */
	else if (code < 0xcc) bytes = 4u << (code - 0xca); /* float */
	else if (code < 0xd0) v.number = (int64_t)get_number(c, 1 << (code - 0xcc)); /* uint */
	else if (code < 0xd4) v.number = get_signed(c, 1 << (code - 0xd0));
	else if (code < 0xd9) bytes = (1u << (code - 0xd4)) + 1; /* fixext */
	else if (code < 0xdc) bytes = get_number(c, 1 << (code - 0xd9)); /* str */
	else if (code < 0xde) v.inside = get_number(c, 2 << (code - 0xdc)); /* array */
	else v.inside = 2 * get_number(c, 2 << (code - 0xde)); /* map */
	if (bytes > (uint64_t)(c->end - c->at)) bytes = (uint64_t)(c->end - c->at);
	v.text = (const char *)c->at;
	c->at += v.size = bytes;
	return v;
}

/* lookup returns the value of a key, all zero when it is not there. Other keys may have any value: each is walked over. */
static struct value lookup(const struct body *b, const char *key) {
	struct cursor c = {b->data, b->data + b->size};
	for (uint64_t left = get(&c).inside / 2; left > 0 && c.at < c.end; left--) {
		struct value k = get(&c), v = get(&c);
		if (k.size == strlen(key) && !memcmp(k.text, key, k.size)) return v;
		for (uint64_t more = v.inside; more > 0 && c.at < c.end; more--) more += get(&c).inside;
	}
	return (struct value){0};
}

/* ---- The wire: frames ---- */

static _Atomic int link_fd = -1; /* of the socket; -1 without a supervisor */
static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER; /* held for one message; for one frame would do */

/* send_all writes everything, or nothing: that the supervisor is gone is no reason to fail. */
static void send_all(const uint8_t *data, size_t size) {
	while (size > 0 && link_fd >= 0) {
		ssize_t n = send(link_fd, data, size, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return;
		data += n, size -= (size_t)n;
	}
}

/* say sends a message, in as many frames as it takes, and forgets its body. */
static void say(int kind, struct body *b) {
	pthread_mutex_lock(&writing);
	for (size_t at = 0; at == 0 || at < b->size; at += FRAME) {
		size_t left = b->size - at, n = left > FRAME ? FRAME : left;
		uint8_t head[HEAD] = {0, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, (uint8_t)kind, left > FRAME ? MORE : 0};
		send_all(head, HEAD); /* n is at most 1 MiB: its highest byte is 0 */
		send_all(b->data + at, n);
	}
	pthread_mutex_unlock(&writing);
	free(b->data);
	*b = (struct body){0};
}

static bool receive(void *data, size_t size) {
	for (uint8_t *at = data; size > 0;) {
		ssize_t n = recv(link_fd, at, size, 0);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) return false;
		at += n, size -= (size_t)n;
	}
	return true;
}

/* hear returns the kind of the next message and puts its chunks together; 0 is the end. The body holds until the next one
 * of its kind. Chunks of other kinds may come in between. */
static int hear(struct body **message) {
	static struct body parts[256];
	static bool whole[256];
	for (uint8_t head[HEAD]; receive(head, HEAD);) {
		size_t n = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
		struct body *part = *message = &parts[head[4]];
		if (whole[head[4]]) part->size = 0;
		if (n > FRAME || part->size + n > 64 << 20) return 0;
		uint8_t *piece = malloc(n + 1);
		if (!piece) abort();
		bool got = receive(piece, n);
		put(part, piece, n);
		free(piece);
		if (!got) return 0;
		if ((whole[head[4]] = !(head[5] & MORE))) return head[4];
	}
	return 0;
}

/* ---- What a worker says ---- */

static volatile sig_atomic_t stopping; /* we were asked to end */
static void on_term(int signal) { stopping = signal; }

static int64_t now(clockid_t clock) {
	struct timespec t;
	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void heartbeat(void) {
	static int64_t seq;
	struct body b = {0};
	put_map(&b, 2);
	put_str(&b, "seq"), put_int(&b, ++seq);
	put_str(&b, "time"), put_int(&b, now(CLOCK_REALTIME));
	say(HEARTBEAT, &b);
}

/* listen_and_beat is the second thread. It does what the supervisor asks for, and nothing about what it does not know. */
static void *listen_and_beat(void *unused) {
	int64_t interval = 0, next = 0; /* nanoseconds */
	struct body *b;
	for (;;) {
		int64_t wait = interval ? (next - now(CLOCK_MONOTONIC)) / 1000000 + 1 : -1; /* milliseconds */
		struct pollfd socket = {.fd = link_fd, .events = POLLIN};
		if (poll(&socket, 1, interval && wait < 0 ? 0 : (int)wait) > 0) switch (hear(&b)) {
		case 0: /* the supervisor is gone, and with it who wants our result, unless we have closed the link */
			if (link_fd >= 0) _exit(1);
			return unused;
		case WELCOME:
			if (lookup(b, "version").number != VERSION) _exit(1);
			interval = lookup(b, "heartbeat").number;
			next = now(CLOCK_MONOTONIC) + interval;
			break;
		case STOP:
			stopping = SIGTERM;
		}
		if (interval && now(CLOCK_MONOTONIC) >= next) heartbeat(), next = now(CLOCK_MONOTONIC) + interval;
	}
	return unused;
}

/* hello takes the socket, says who we are and starts to listen. */
static void hello(void) {
	const char *fd = getenv("MUSTER_FD");
	if (!fd) return;
	link_fd = atoi(fd);
	unsetenv("MUSTER_FD"); /* it is not for our children, and neither is the socket */
	fcntl(link_fd, F_SETFD, FD_CLOEXEC);
	struct body b = {0};
	put_map(&b, 4);
	put_str(&b, "min"), put_int(&b, VERSION);
	put_str(&b, "max"), put_int(&b, VERSION);
	put_str(&b, "pid"), put_int(&b, getpid());
	put_str(&b, "sdk"), put_str(&b, "c");
	say(HELLO, &b);
	pthread_t thread;
	sigset_t term, before; /* the signal is for the thread that works: it may be in a call that is to end early */
	sigemptyset(&term), sigaddset(&term, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &term, &before);
	if (pthread_create(&thread, NULL, listen_and_beat, NULL)) abort();
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void ready(void) {
	struct body b = {0};
	put_map(&b, 0);
	say(READY, &b);
}

static void result(const struct body *value) {
	struct body b = {0};
	put_map(&b, 1);
	put_str(&b, "value"), put_bin(&b, value);
	say(RESULT, &b);
}

/* An error is on its way up: each function that it passes adds a frame, so that the innermost is the first. */
struct frame { const char *file, *function; int line; };
struct error { const char *type; char message[256]; struct frame frames[8]; int depth; };

static bool add_frame(struct error *e, const char *file, int line, const char *function) {
	if (e->depth < 8) e->frames[e->depth++] = (struct frame){file, function, line};
	return false;
}
#define HERE(e) add_frame(e, __FILE__, __LINE__, __func__)
#define FAIL(e, kind, ...) ((e)->type = kind, snprintf((e)->message, sizeof (e)->message, __VA_ARGS__), HERE(e))
#define TRY(e, call) do { if (!(call)) return HERE(e); } while (0)

static void exception(const struct error *e) {
	struct body b = {0};
	put_map(&b, 5);
	put_str(&b, "type"), put_str(&b, e->type);
	put_str(&b, "message"), put_str(&b, e->message);
	put_str(&b, "frames"), put_array(&b, e->depth);
	for (int i = e->depth - 1; i >= 0; i--) { /* on the wire the outermost comes first */
		put_map(&b, 3);
		put_str(&b, "file"), put_str(&b, e->frames[i].file);
		put_str(&b, "line"), put_int(&b, e->frames[i].line);
		put_str(&b, "function"), put_str(&b, e->frames[i].function);
	}
	put_str(&b, "pid"), put_int(&b, getpid());
	put_str(&b, "time"), put_int(&b, now(CLOCK_REALTIME));
	say(EXCEPTION, &b);
}

/* ---- The work: sums, and ways to end badly ---- */

static bool number(const char *text, int64_t *n, struct error *e) {
	char *end;
	errno = 0;
	*n = strtoll(text, &end, 10);
	if (errno || end == text || *end) return FAIL(e, "NumberError", "\"%s\" is no whole number", text);
	return true;
}

static bool sum(char **texts, struct body *value, struct error *e) {
	int64_t n, total = 0;
	for (; *texts && !stopping; texts++) {
		TRY(e, number(*texts, &n, e));
		total += n;
	}
	put_int(value, total);
	return true;
}

/* zeros is a large value: it travels in chunks. */
static void zeros(size_t size, struct body *value) {
	struct body all = {calloc(size, 1), size, size};
	if (!all.data) abort();
	put_bin(value, &all);
	free(all.data);
}

static void hang(void) { for (;;) pause(); }

static bool work(char **args, struct body *value, struct error *e) {
	const char *what = *args ? *args++ : "nothing";
	if (!strcmp(what, "sum")) TRY(e, sum(args, value, e));
	else if (!strcmp(what, "exit")) exit(*args ? atoi(*args) : 0); /* without a word */
	else if (!strcmp(what, "signal")) raise(*args ? atoi(*args) : SIGSEGV);
	else if (!strcmp(what, "zeros")) zeros(*args ? (size_t)atoll(*args) : 1, value);
	else if (!strcmp(what, "wait")) while (!stopping) usleep(10000); /* until we are asked to end */
	else if (!strcmp(what, "hang")) pthread_mutex_lock(&writing), hang(); /* no heartbeat can be sent either */
	else if (!strcmp(what, "garbage")) send_all((const uint8_t *)"\xff\xff\xff\xff\xff\xff", 6), hang();
	else if (!strcmp(what, "close")) {
		close(atomic_exchange(&link_fd, -1));
		return FAIL(e, "LinkError", "nobody hears this");
	}
	else return FAIL(e, "UsageError", "nobody knows how to %s: sum, zeros, exit, signal, wait, hang, garbage, close", what);
	return true;
}

int main(int argc, char **argv) {
	struct sigaction term = {.sa_handler = on_term}; /* it comes with Stop, and comes alone where nobody listens */
	sigaction(SIGTERM, &term, NULL);
	hello();
	ready();
	struct error e = {0};
	struct body value = {0};
	if (work(argv + (argc > 0), &value, &e)) {
		if (value.size) result(&value);
		return 0;
	}
	HERE(&e);
	fprintf(stderr, "%s: %s\n", e.type, e.message);
	exception(&e);
	return 1;
}
