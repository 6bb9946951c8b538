/*
 * Notifications, and statements that are sent ahead, through the door to libpq, against a server
 * that the test plays itself, because no real one says things at a chosen moment: in the middle of
 * an answer, behind it, with its last words. What each of them must not do: get lost, cost the
 * connection, or stay in the socket.
 */
#include "../support/unit.h"

#include "base/clock.h"
#include "store/db.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT "5432"

/* --- the server ------------------------------------------------------------------------------- */

struct seen {
	int connections;
	volatile int asked, said; /* queries, and answers with all that is behind them */
	char queries[1024];       /* a line each */
	char manner[32];          /* of answering what was prepared */
	volatile int is_held;     /* it answers when this is over */
};

/* What it says to one query: up to `later` at once, the rest when that was read. */
struct speech {
	unsigned char bytes[1024];
	size_t n, later;
	int hangs_up;
};

/* A message: its type, its length, then words, each with its NUL. */
static void say(struct speech *speech, char type, const void *body, size_t n)
{
	uint32_t length = htonl((uint32_t)n + 4);

	speech->bytes[speech->n++] = (unsigned char)type;
	memcpy(speech->bytes + speech->n, &length, sizeof(length));
	memcpy(speech->bytes + speech->n + sizeof(length), body, n);
	speech->n += sizeof(length) + n;
}

#define SAY(speech, type, literal) say(speech, type, literal, sizeof(literal))
#define SAY_PARAMETER(speech, name, value) SAY(speech, 'S', name "\0" value)
#define SAY_NOTIFICATION(speech, channel, payload) SAY(speech, 'A', "\0\0\0\1" channel "\0" payload)
#define SAY_LAST_WORDS(speech) SAY(speech, 'E', "SFATAL\0VFATAL\0C57P01\0Mterminating connection\0")

static void greet(struct speech *speech)
{
	say(speech, 'R', "\0\0\0\0", 4);
	SAY_PARAMETER(speech, "server_version", "15.0");
	SAY_PARAMETER(speech, "client_encoding", "UTF8");
	SAY_PARAMETER(speech, "default_transaction_read_only", "off");
	SAY_PARAMETER(speech, "in_hot_standby", "off");
	say(speech, 'Z', "I", 1);
}

/* To what was sent ahead: one row, and that it is committed. */
static void answer_ahead(struct speech *speech, const char *manner)
{
	speech->hangs_up = strstr(manner, "hang up") != NULL;
	if (strstr(manner, "nothing"))
		return;
	say(speech, '1', "", 0);
	say(speech, '2', "", 0);
	if (strstr(manner, "refuse"))
		SAY(speech, 'E', "SERROR\0VERROR\0C23505\0Mno\0");
	else {
		say(speech, 'T', "\0\1n\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0", 22);
		say(speech, 'D', "\0\1\0\0\0\00242", 8);
		SAY(speech, 'C', "SELECT 1");
	}
	if (!strstr(manner, "half"))
		say(speech, 'Z', "I", 1);
}

static void answer(struct speech *speech, const char *query)
{
	int is_inside = strstr(query, "inside") != NULL;

	if (strcmp(query, "unlisten *") == 0)
		SAY_NOTIFICATION(speech, "vestal_token", "too late");
	if (is_inside)
		SAY_NOTIFICATION(speech, "vestal_token", "inside");
	SAY(speech, 'C', "DONE");
	say(speech, 'Z', "I", 1);
	if (!strstr(query, "at once"))
		speech->later = speech->n;
	if (strstr(query, "behind")) {
		SAY_NOTIFICATION(speech, "vestal_token", "behind");
		SAY_NOTIFICATION(speech, "vestal_renewal", "42");
	}
	if (strstr(query, "setting"))
		SAY_PARAMETER(speech, "in_hot_standby", "off");
	if (strstr(query, "last words"))
		SAY_LAST_WORDS(speech);
	speech->hangs_up = strstr(query, "hang up") != NULL;
}

/* Whether a whole message came; its body, which ends with a NUL, is left in text. */
static int hear(int fd, int has_type, char *type, char *text, size_t size)
{
	uint32_t length;
	size_t n = 0;

	if (has_type && recv(fd, type, 1, MSG_WAITALL) != 1)
		return 0;
	if (recv(fd, &length, sizeof(length), MSG_WAITALL) != (ssize_t)sizeof(length))
		return 0;
	n = ntohl(length) - sizeof(length);
	if (n >= size || (n && recv(fd, text, n, MSG_WAITALL) != (ssize_t)n))
		return 0;
	text[n] = '\0';
	return 1;
}

static int deliver(int fd, const struct speech *speech, struct seen *seen)
{
	size_t first = speech->later ? speech->later : speech->n;
	int unread = 1;

	if (send(fd, speech->bytes, first, MSG_NOSIGNAL) != (ssize_t)first)
		return 0;
	while (speech->later && !ioctl(fd, SIOCOUTQ, &unread) && unread)
		nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
	send(fd, speech->bytes + first, speech->n - first, MSG_NOSIGNAL);
	if (speech->hangs_up)
		shutdown(fd, SHUT_RDWR);
	seen->said = seen->asked;
	return !speech->hangs_up;
}

static void converse(int fd, struct seen *seen)
{
	struct speech speech = {.n = 0};
	char type = 0, text[512];

	if (!hear(fd, 0, &type, text, sizeof(text)))
		return;
	greet(&speech);
	while (deliver(fd, &speech, seen) && hear(fd, 1, &type, text, sizeof(text)) &&
		type != 'X') {
		speech = (struct speech){.n = 0};
		if (type != 'Q' && type != 'S') /* parse, bind, describe, execute */
			continue;
		strncat(seen->queries, type == 'Q' ? text : "ahead", sizeof(seen->queries) / 2);
		strncat(seen->queries, "\n", 2);
		seen->asked++;
		while (seen->is_held)
			nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
		if (type == 'Q')
			answer(&speech, text);
		else
			answer_ahead(&speech, seen->manner);
	}
}

static void serve(int listener, struct seen *seen)
{
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			_exit(1);
		seen->connections++;
		converse(fd, seen);
		close(fd);
	}
}

/* --- the test's side -------------------------------------------------------------------------- */

struct scene {
	struct work w;
	struct conf conf;
	char *dir;
	struct store_db *db;
	struct seen *seen;
	pid_t server;
};

static int listen_in(const char *dir)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/.s.PGSQL." PORT, dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static int begin(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	int listener;

	*state = s;
	work_begin(&s->w, 60000);
	s->dir = unit_dir();
	listener = listen_in(s->dir);
	s->seen = mmap(
		NULL, sizeof(*s->seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	s->server = fork();
	if (s->server == 0)
		serve(listener, s->seen);
	close(listener);
	s->conf.text[CONF_database] = work_printf(&s->w, "host=%s port=" PORT, s->dir);
	assert_int_equal(store_db_new(&s->w, &s->conf, STORE_OPERATOR, &s->db), ERR_OK);
	assert_int_equal(store_db_ready_bare(&s->w, s->db), ERR_OK);
	return 0;
}

static int end(void **state)
{
	struct scene *s = *state;

	store_db_free(s->db);
	kill(s->server, SIGKILL);
	waitpid(s->server, NULL, 0);
	munmap(s->seen, sizeof(*s->seen));
	unit_dir_remove(s->dir);
	work_end(&s->w);
	free(s);
	return 0;
}

#define DB_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

static void listen_to(struct scene *s, const char *channel)
{
	assert_int_equal(store_db_listen(&s->w, s->db, channel), ERR_OK);
}

/* All that is behind the answer has arrived when this returns. */
static void run(struct scene *s, const char *query)
{
	int asked = s->seen->asked;

	assert_int_equal(store_db_script(&s->w, s->db, query), ERR_OK);
	while (s->seen->said <= asked)
		nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

/* Still on the very connection it began with. */
static void same_connection(struct scene *s)
{
	assert_int_equal(store_db_ready_bare(&s->w, s->db), ERR_OK);
	assert_int_equal(s->seen->connections, 1);
}

/* What a wait brings must be this; payload NULL: nothing comes. */
static void comes(struct scene *s, const char *channel, const char *payload)
{
	const char *got_channel = "", *got_payload = "";
	int64_t began_ms = clock_monotonic_ms();

	assert_int_equal(
		store_db_wait(&s->w, s->db, payload ? 60000 : 20, &got_channel, &got_payload),
		ERR_OK);
	unit_same("channel", got_channel, channel);
	unit_same("payload", got_payload, payload);
	if (!payload)
		assert_true(clock_monotonic_ms() - began_ms >= 20);
}

static void is_away(struct scene *s)
{
	const char *channel = "", *payload = "";

	assert_int_equal(store_db_wait(&s->w, s->db, 60000, &channel, &payload), ERR_DB_AWAY);
	assert_null(channel);
	assert_null(payload);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void nothing_comes_in_time(void **state)
{
	listen_to(*state, "vestal_token");
	comes(*state, NULL, NULL);
	same_connection(*state);
}

static void what_comes_behind_an_answer(void **state)
{
	static const char *const ways[] = {"behind", "behind, at once"};
	struct scene *s = *state;

	listen_to(s, "vestal_token");
	listen_to(s, "vestal_renewal");
	for (size_t i = 0; i < UNIT_COUNT(ways); i++) {
		run(s, ways[i]);
		same_connection(s);
		same_connection(s);
		comes(s, "vestal_token", "behind");
		run(s, "another statement");
		comes(s, "vestal_renewal", "42");
		comes(s, NULL, NULL);
		same_connection(s);
	}
}

static void what_comes_inside_an_answer(void **state)
{
	struct scene *s = *state;

	listen_to(s, "vestal_token");
	run(s, "inside");
	run(s, "inside, and behind");
	comes(s, "vestal_token", "inside");
	comes(s, "vestal_token", "inside");
	comes(s, "vestal_token", "behind");
	same_connection(s);
}

static void a_changed_setting_while_listening(void **state)
{
	struct scene *s = *state;

	listen_to(s, "vestal_token");
	run(s, "setting");
	comes(s, NULL, NULL);
	run(s, "setting, behind");
	comes(s, "vestal_token", "behind");
	same_connection(s);
}

static void nothing_is_left_after_listening(void **state)
{
	struct scene *s = *state;

	listen_to(s, "vestal_token");
	run(s, "behind");
	assert_int_equal(store_db_unlisten(&s->w, s->db), ERR_OK);
	same_connection(s);
	is_away(s);
	listen_to(s, "vestal_token");
	comes(s, NULL, NULL);
	same_connection(s);
	unit_same("queries", s->seen->queries,
		"listen vestal_token\nbehind\nunlisten *\nlisten vestal_token\n");
}

static void to_unlisten_is_harmless(void **state)
{
	struct scene *s = *state;

	assert_int_equal(store_db_unlisten(&s->w, s->db), ERR_OK);
	unit_same("queries", s->seen->queries, "");
}

static void only_who_listens_expects_anything(void **state)
{
	struct scene *s = *state;

	run(s, "behind");
	assert_int_equal(store_db_ready_bare(&s->w, s->db), ERR_OK);
	assert_int_equal(s->seen->connections, 2);
	run(s, "last words");
	assert_int_equal(store_db_ready_bare(&s->w, s->db), ERR_OK);
	assert_int_equal(s->seen->connections, 3);
	run(s, "hang up");
	assert_int_equal(store_db_ready_bare(&s->w, s->db), ERR_OK);
	assert_int_equal(s->seen->connections, 4);
}

static void last_words_while_listening(void **state)
{
	static const char *const ways[] = {"last words", "last words, at once", "hang up"};
	struct scene *s = *state;

	for (size_t i = 0; i < UNIT_COUNT(ways); i++) {
		listen_to(s, "vestal_token");
		run(s, ways[i]);
		assert_int_equal(store_db_ready_bare(&s->w, s->db), ERR_OK);
		assert_int_equal(s->seen->connections, i + 2);
		is_away(s); /* the new connection listens to nothing */
		assert_int_equal(store_db_unlisten(&s->w, s->db), ERR_OK);
		listen_to(s, "vestal_token");
		run(s, "inside");
		comes(s, "vestal_token", "inside");
		comes(s, NULL, NULL);
	}
}

static void lost_while_waiting(void **state)
{
	static const char *const ways[] = {"last words", "last words, at once", "hang up"};
	struct scene *s = *state;

	for (size_t i = 0; i < UNIT_COUNT(ways); i++) {
		listen_to(s, "vestal_token");
		run(s, ways[i]);
		is_away(s);
		is_away(s);
		assert_int_equal(store_db_unlisten(&s->w, s->db), ERR_OK);
		assert_int_equal(store_db_listen(&s->w, s->db, "vestal_token"), ERR_DB_AWAY);
		assert_int_equal(store_db_ready_bare(&s->w, s->db), ERR_OK);
		assert_int_equal(s->seen->connections, i + 2);
	}
}

/* What was said before the end is not lost with it. */
static void told_before_it_was_lost(void **state)
{
	struct scene *s = *state;

	listen_to(s, "vestal_token");
	run(s, "inside, then hang up");
	comes(s, "vestal_token", "inside");
	is_away(s);
}

static void the_list_of_channels_is_closed(void **state)
{
	static const char *const wrong[] = {
		"", "vestal", "VESTAL_TOKEN", "vestal_token; select 1", "*"};
	struct scene *s = *state;

	for (size_t i = 0; i < UNIT_COUNT(wrong); i++)
		assert_int_equal(store_db_listen(&s->w, s->db, wrong[i]), ERR_BUG);
	unit_same("queries", s->seen->queries, "");
	is_away(s);
}

static void a_wait_ends_with_the_work(void **state)
{
	struct scene *s = *state;
	const char *channel = "", *payload = "";

	listen_to(s, "vestal_token");
	s->w.deadline_ms = clock_monotonic_ms() + 20;
	assert_int_equal(store_db_wait(&s->w, s->db, 60000, &channel, &payload), ERR_OK);
	assert_null(payload);
	s->w.deadline_ms = clock_monotonic_ms() - 1;
	assert_int_equal(store_db_wait(&s->w, s->db, 60000, &channel, &payload), ERR_OK);
	assert_null(payload);
	s->w.deadline_ms = clock_monotonic_ms() + 60000;
	run(s, "behind");
	s->w.deadline_ms = clock_monotonic_ms() - 1;
	assert_int_equal(store_db_wait(&s->w, s->db, 60000, &channel, &payload), ERR_OK);
	unit_same("what is there already", payload, "behind");
}

/* --- what is sent ahead ----------------------------------------------------------------------- */

static void send_ahead(struct scene *s, const char *manner, int held)
{
	snprintf(s->seen->manner, sizeof(s->seen->manner), "%s", manner);
	s->seen->is_held = held;
	assert_int_equal(store_db_send(&s->w, s->db, STMT_SCHEMA_LATEST, NULL, 0), ERR_OK);
}

static void is_fetched(struct scene *s)
{
	struct store_rows *rows = NULL;

	assert_int_equal(store_db_fetch(&s->w, s->db, &rows), ERR_OK);
	assert_int_equal(store_get_int(rows, 0, 0), 42);
	assert_int_equal(store_db_fd(s->db), -1);
}

static void is_lost(struct scene *s, enum err err)
{
	struct store_rows *rows = NULL;

	assert_int_equal(store_db_fetch(&s->w, s->db, &rows), err);
	assert_null(rows);
	assert_int_equal(store_db_fd(s->db), -1);
}

/* As a loop waits for it, at its descriptor. */
static void wait_for_landing(struct scene *s)
{
	while (!store_db_has_landed(s->db)) {
		struct pollfd fd = {.fd = store_db_fd(s->db), .events = POLLIN};

		assert_true(poll(&fd, 1, 10000) > 0);
	}
}

static void what_is_sent_ahead_keeps_nobody(void **state)
{
	struct scene *s = *state;

	send_ahead(s, "", 1);
	while (!s->seen->asked)
		nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
	assert_false(store_db_has_landed(s->db));
	assert_true(store_db_fd(s->db) >= 0);
	s->seen->is_held = 0;
	wait_for_landing(s);
	is_fetched(s);
	send_ahead(s, "", 0);
	is_fetched(s); /* which waits for it */
	same_connection(s);
}

static void others_wait_for_what_is_under_way(void **state)
{
	struct scene *s = *state;

	send_ahead(s, "", 0);
	assert_int_equal(store_db_script(&s->w, s->db, "another"), ERR_OK);
	assert_true(store_db_has_landed(s->db));
	is_fetched(s);
	send_ahead(s, "", 0);
	same_connection(s);
	is_fetched(s);
	unit_same("queries", s->seen->queries, "ahead\nanother\nahead\n");
}

/* Rows come before the commit does. */
static void what_is_sent_ahead_is_lost_with_the_connection(void **state)
{
	static const char *const ways[] = {"nothing, hang up", "half, hang up"};
	struct scene *s = *state;
	int connections = 1;

	for (size_t i = 0; i < UNIT_COUNT(ways); i++) {
		send_ahead(s, ways[i], 0);
		wait_for_landing(s);
		is_lost(s, ERR_DB_AWAY);
		assert_int_equal(store_db_ready_bare(&s->w, s->db), ERR_OK);
		assert_int_equal(s->seen->connections, ++connections);
		send_ahead(s, ways[i], 0);
		assert_int_equal(store_db_ready_bare(&s->w, s->db), ERR_OK); /* somebody else */
		assert_int_equal(s->seen->connections, ++connections);
		is_lost(s, ERR_DB_AWAY);
		assert_int_equal(store_db_script(&s->w, s->db, "goes on"), ERR_OK);
		assert_int_equal(s->seen->connections, connections);
	}
}

static void what_is_sent_ahead_can_be_refused(void **state)
{
	struct scene *s = *state;

	send_ahead(s, "refuse", 0);
	wait_for_landing(s);
	is_lost(s, ERR_EXISTS);
	send_ahead(s, "refuse", 0);
	same_connection(s);
	is_lost(s, ERR_EXISTS);
	same_connection(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DB_TEST(nothing_comes_in_time),
		DB_TEST(what_comes_behind_an_answer),
		DB_TEST(what_comes_inside_an_answer),
		DB_TEST(a_changed_setting_while_listening),
		DB_TEST(nothing_is_left_after_listening),
		DB_TEST(to_unlisten_is_harmless),
		DB_TEST(only_who_listens_expects_anything),
		DB_TEST(last_words_while_listening),
		DB_TEST(lost_while_waiting),
		DB_TEST(told_before_it_was_lost),
		DB_TEST(the_list_of_channels_is_closed),
		DB_TEST(a_wait_ends_with_the_work),
		DB_TEST(what_is_sent_ahead_keeps_nobody),
		DB_TEST(others_wait_for_what_is_under_way),
		DB_TEST(what_is_sent_ahead_is_lost_with_the_connection),
		DB_TEST(what_is_sent_ahead_can_be_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
