/* The test of worker.c's wire: it reads messages, and writes each again from what it has read.
 *
 *     golden KEY...
 *
 * The frames come from the descriptor MUSTER_FD, and go back there. Of every message standard output has one line for each
 * KEY that was asked for: what lookup found, as a number and as bytes. The golden frames of transport/testdata are held to
 * it by a test of the package transport: what is written must be the bytes that were read. */

#define main worker_main
#include "worker.c"
#undef main

enum { LAST_KIND = 13 };

static void copy(struct cursor *c, struct body *out);

static void copy_all(struct cursor *c, struct body *out, uint64_t n) {
	while (n-- > 0 && c->at < c->end) copy(c, out);
}

/* copy reads one value and writes it in the form of writers. Floats and extensions are in no message: they are left out. */
static void copy(struct cursor *c, struct body *out) {
	uint8_t code = *c->at;
	struct value v = get(c);
	struct body bin = {(uint8_t *)v.text, v.size, v.size};
	if ((code & 0xf0) == 0x80 || code == 0xde || code == 0xdf) put_map(out, (int)(v.inside / 2)), copy_all(c, out, v.inside);
	else if ((code & 0xf0) == 0x90 || code == 0xdc || code == 0xdd) put_array(out, (int)v.inside), copy_all(c, out, v.inside);
	else if ((code & 0xe0) == 0xa0 || (code >= 0xd9 && code <= 0xdb)) put_text(out, v.text, v.size);
	else if (code >= 0xc4 && code <= 0xc6) put_bin(out, &bin);
	else if (code >= 0xc0 && code <= 0xc3) put(out, &code, 1);
	else put_int(out, v.number);
}

static void show(struct value v) {
	printf("%lld ", (long long)v.number);
	for (size_t i = 0; i < v.size; i++) printf("%02x", (uint8_t)v.text[i]);
	printf("\n");
}

int main(int argc, char **argv) {
	link_fd = atoi(getenv("MUSTER_FD"));
	struct body *b;
	for (int kind; (kind = hear(&b));) {
		if (kind > LAST_KIND) continue; /* as the worker does with what it does not know */
		for (int i = 1; i < argc; i++) show(lookup(b, argv[i]));
		struct cursor c = {b->data, b->data + b->size};
		struct body again = {0};
		copy(&c, &again);
		say(kind, &again);
	}
	fflush(stdout);
	_exit(0);
}
