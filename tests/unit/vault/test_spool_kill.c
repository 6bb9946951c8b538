/* The spool when processes die: at every system call, at any moment, and with several who want what
 * is left. */
#include "spool_support.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* How far a process got with the renewal 1. */
enum stage { NOTHING, OPENED, RESERVED, SYNCED, ANSWERED, DURABLE, CLEARING, CLEARED, CLOSED };

/* Runs child in a process of its own, that never outlives the test. */
static pid_t start(void (*child)(void))
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	child();
	_exit(0);
}

static int end_of(pid_t pid)
{
	int status = -1;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int told[2]; /* a pipe from the children, which ends when they do */

static void open_pipe(void)
{
	assert_int_equal(pipe(told), 0);
}

/* Once the children are started. */
static void only_listen(void)
{
	close(told[1]);
}

static void tell(char what)
{
	SPOOL_MUST(write(told[1], &what, 1) == 1);
}

/* What one told; 0 when there is none left that could. */
static char hear(void)
{
	char what = 0;

	assert_true(read(told[0], &what, 1) >= 0);
	return what;
}

static enum stage wanted;

static void go_to_stage(void)
{
	struct vault_spool *spool = spool_make(4);

	spool_reserve(spool, 1);
	spool_sync(spool);
	if (wanted >= ANSWERED)
		spool_answer(spool, 0, 1);
	if (wanted >= DURABLE)
		spool_sync(spool);
	if (wanted >= CLEARED)
		vault_spool_clear(spool, 0);
	tell('!');
	for (;;)
		pause();
}

static void a_killed_process_is_taken_over_where_it_stood(void **state)
{
	static const enum stage stages[] = {SYNCED, ANSWERED, DURABLE, CLEARED};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct vault_spool *spool;
		pid_t pid;

		wanted = stages[i];
		open_pipe();
		pid = start(go_to_stage);
		only_listen();
		assert_int_equal(hear(), '!');
		assert_null(spool_take());
		assert_int_equal(kill(pid, SIGKILL), 0);
		end_of(pid);
		spool = spool_take();
		assert_non_null(spool);
		if (wanted == CLEARED)
			assert_int_equal(spool_seen(spool).n, 0);
		else
			spool_assert_one(spool, 1, 1, wanted >= ANSWERED);
		vault_spool_clear(spool, 0);
		vault_spool_close(spool);
		assert_int_equal(spool_names(), 0);
		close(told[0]);
	}
}

static enum stage *reached; /* shared with the child */

static void live_and_die(void)
{
	struct vault_spool *spool;

	spool_faults.calls = 0;
	spool = spool_make(2);
	*reached = OPENED;
	spool_reserve(spool, 1);
	*reached = RESERVED;
	spool_sync(spool);
	*reached = SYNCED;
	spool_answer(spool, 0, 1);
	*reached = ANSWERED;
	spool_sync(spool);
	*reached = DURABLE;
	*reached = CLEARING;
	vault_spool_clear(spool, 0);
	*reached = CLEARED;
	vault_spool_close(spool);
	*reached = CLOSED;
}

/* What the next one finds after a kill, by how far the dead one had come for sure. */
static void assert_nothing_lost(enum stage stage)
{
	struct vault_spool *spool = spool_take();
	struct spool_seen seen = {0};

	if (spool)
		seen = spool_seen(spool);
	assert_true(seen.n <= 1);
	if (stage >= RESERVED && stage < CLEARING) {
		assert_int_equal(seen.n, 1);
		assert_int_equal(seen.entries[0].intent, 1);
	}
	if (stage >= ANSWERED && stage < CLEARING)
		assert_int_equal(seen.entries[0].answer, 1);
	if (stage < OPENED || stage >= CLEARED)
		assert_int_equal(seen.n, 0);
	for (size_t i = 0; i < seen.n; i++) {
		assert_true(seen.entries[i].intent >= 0);
		assert_true(seen.entries[i].answer >= 0);
		/* never an intent that looks as if no answer had come */
		if (stage >= CLEARING)
			assert_int_equal(seen.entries[i].answer, 1);
		vault_spool_clear(spool, seen.entries[i].slot);
	}
	vault_spool_close(spool);
	assert_null(spool_take());
	assert_int_equal(spool_names(), 0);
}

static void a_kill_at_any_system_call_loses_nothing(void **state)
{
	static const enum spool_fault when[] = {
		SPOOL_FAULT_KILL_BEFORE, SPOOL_FAULT_KILL_AMID, SPOOL_FAULT_KILL_AFTER};
	int at[3];

	(void)state;
	reached = mmap(
		NULL, sizeof(*reached), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(reached != MAP_FAILED);
	for (size_t i = 0; i < 3; i++) {
		for (at[i] = 1, *reached = NOTHING; *reached != CLOSED; at[i]++) {
			int status;

			assert_true(at[i] < 100);
			*reached = NOTHING;
			spool_faults.fault = when[i];
			spool_faults.at = at[i];
			status = end_of(start(live_and_die));
			spool_faults.fault = SPOOL_FAULT_NONE;
			if (*reached != CLOSED)
				assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
			assert_nothing_lost(*reached);
		}
		/* 12 to open when the folder is new, 10 later; reserve, sync, answer, sync, clear,
		 * remove; and one try that is not killed */
		assert_in_range(at[i] - 2, 14, 18);
	}
	munmap(reached, sizeof(*reached));
}

/* Renewals without end, each in the one slot. */
static void renew_for_ever(void)
{
	struct vault_spool *spool = spool_make(1);

	for (int number = 1;; number++) {
		size_t slot = spool_reserve(spool, number);

		spool_sync(spool);
		tell('r');
		spool_answer(spool, slot, number);
		tell('a');
		vault_spool_clear(spool, slot);
		tell('c');
	}
}

static void a_kill_at_any_moment_loses_nothing(void **state)
{
	enum { ROUNDS = 60 };
	unsigned chance = 12345;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		struct vault_spool *spool;
		struct spool_seen seen;
		char last = 0;
		int heard;
		pid_t pid;

		open_pipe();
		pid = start(renew_for_ever);
		only_listen();
		chance = chance * 1103515245 + 12345;
		heard = 1 + (int)(chance >> 16) % 97;
		for (int i = 0; i < heard; i++)
			last = hear();
		assert_int_equal(kill(pid, SIGKILL), 0);
		end_of(pid);
		/* what it told us before it died, it had done */
		for (char more = hear(); more; more = hear(), heard++)
			last = more;
		close(told[0]);
		spool = spool_take();
		assert_non_null(spool);
		seen = spool_seen(spool);
		assert_true(seen.n <= 1);
		assert_true(last == 'c' || seen.n == 1 || last == 'a');
		if (seen.n) {
			int number = seen.entries[0].key;

			/* Three words a renewal; what it did not come to tell may be done as well.
			 */
			assert_in_range(number, (heard + 2) / 3, heard / 3 + 1);
			assert_true(seen.entries[0].intent == number ||
				    seen.entries[0].intent_err == ERR_NOT_FOUND);
			assert_true(seen.entries[0].answer == number ||
				    (last != 'a' && seen.entries[0].answer == 0));
		}
		vault_spool_clear(spool, 0);
		vault_spool_close(spool);
		assert_int_equal(spool_names(), 0);
	}
}

static int barrier[2], hold[2];

static void wait_for_end_of(const int fds[2])
{
	char c;

	close(fds[1]);
	SPOOL_MUST(read(fds[0], &c, 1) == 0);
}

static void race_and_hold(void)
{
	struct vault_spool *spool;

	wait_for_end_of(barrier);
	spool = spool_take();
	if (spool)
		spool_assert_one(spool, 1, 1, 1);
	tell(spool ? '1' : '0');
	close(told[1]);
	wait_for_end_of(hold);
}

static void race_and_settle(void)
{
	struct vault_spool *spool;

	wait_for_end_of(barrier);
	spool = spool_take();
	if (spool) {
		spool_assert_one(spool, 1, 1, 1);
		vault_spool_clear(spool, 0);
		vault_spool_close(spool);
	}
	tell(spool ? '1' : '0');
}

/* A monitor must not stand in the way of who takes over. */
static void look_all_the_time(void)
{
	struct vault_spool_status status;

	for (;;) {
		struct work w;

		work_begin(&w, SUPPORT_BUDGET_MS);
		SPOOL_MUST(vault_spool_look(&w, spool_state_dir, &status) == ERR_OK);
		work_end(&w);
	}
}

static void race(void (*racer)(void))
{
	enum { RACERS = 4 };
	char name[VAULT_SPOOL_NAME_MAX_BYTES];
	pid_t pids[RACERS];
	int winners = 0;

	spool_abandon(name, 1);
	open_pipe();
	assert_int_equal(pipe(barrier), 0);
	assert_int_equal(pipe(hold), 0);
	for (int i = 0; i < RACERS; i++)
		pids[i] = start(racer);
	only_listen();
	close(barrier[0]);
	close(barrier[1]);
	for (int i = 0; i < RACERS; i++) {
		char told_by_one = hear();

		assert_int_not_equal(told_by_one, 0);
		winners += told_by_one == '1';
	}
	close(hold[0]);
	close(hold[1]);
	for (int i = 0; i < RACERS; i++)
		assert_int_equal(end_of(pids[i]), 0);
	close(told[0]);
	assert_int_equal(winners, 1);
}

static void only_one_gets_what_a_dead_one_left(void **state)
{
	struct vault_spool *spool;
	pid_t looker;

	(void)state;
	vault_spool_close(spool_make(1));
	looker = start(look_all_the_time);
	for (int round = 0; round < 30; round++) {
		race(race_and_hold);
		spool = spool_take();
		assert_non_null(spool);
		vault_spool_clear(spool, 0);
		vault_spool_close(spool);
		race(race_and_settle);
		assert_int_equal(spool_names(), 0);
	}
	kill(looker, SIGKILL);
	end_of(looker);
}

static void open_and_close(void)
{
	for (int i = 0; i < 100; i++) {
		struct vault_spool *spool = spool_make(1);

		spool_reserve(spool, i + 1);
		spool_assert_one(spool, i + 1, i + 1, 0);
		vault_spool_clear(spool, 0);
		vault_spool_close(spool);
	}
}

/* Files are made while others look for what is left: nobody loses one that he just makes. */
static void who_opens_is_never_swept_away_nor_taken_over(void **state)
{
	enum { OPENERS = 3 };
	struct pollfd done;
	pid_t pids[OPENERS];

	(void)state;
	open_pipe();
	done = (struct pollfd){.fd = told[0], .events = POLLIN};
	for (int i = 0; i < OPENERS; i++)
		pids[i] = start(open_and_close);
	only_listen();
	while (poll(&done, 1, 0) == 0)
		assert_null(spool_take());
	for (int i = 0; i < OPENERS; i++)
		assert_int_equal(end_of(pids[i]), 0);
	close(told[0]);
	assert_null(spool_take());
	assert_int_equal(spool_names(), 0);
}

static int input[2];

/* Starts a program that lives until its input ends, and waits to be killed. */
static void leave_a_program_behind(void)
{
	struct vault_spool *spool = spool_make(1);

	spool_reserve(spool, 1);
	if (fork() == 0) {
		close(input[1]);
		dup2(input[0], 0);
		dup2(told[1], 1);
		execlp("sh", "sh", "-c", "echo; read -r line", (char *)NULL);
		_exit(1);
	}
	for (;;)
		pause();
}

static void a_program_started_meanwhile_holds_nothing(void **state)
{
	struct vault_spool *spool;
	pid_t pid;

	(void)state;
	open_pipe();
	assert_int_equal(pipe(input), 0);
	pid = start(leave_a_program_behind);
	only_listen();
	assert_int_equal(hear(), '\n');
	kill(pid, SIGKILL);
	end_of(pid);
	spool = spool_take();
	assert_non_null(spool);
	spool_assert_one(spool, 1, 1, 0);
	vault_spool_close(spool);
	close(input[0]);
	close(input[1]);
	close(told[0]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, spool_setup, spool_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_killed_process_is_taken_over_where_it_stood),
		TEST(a_kill_at_any_system_call_loses_nothing),
		TEST(a_kill_at_any_moment_loses_nothing),
		TEST(only_one_gets_what_a_dead_one_left),
		TEST(who_opens_is_never_swept_away_nor_taken_over),
		TEST(a_program_started_meanwhile_holds_nothing),
	};

	return cmocka_run_group_tests_name("vault_spool_kill", tests, NULL, NULL);
}
