/* Who is believed to be the provider: certificates and protocol versions, against the openssl
 * program as a server. */
#include "fixture.h"

#include "base/text.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct tls_server {
	pid_t pid;
	FILE *out;
	unsigned port;
};

static char folder[64];

static char *in_folder(struct fixture *f, const char *name)
{
	return work_printf(&f->w, "%s/%s", folder, name);
}

/* Makes NAME.key and NAME.pem for a host, signed by itself, with the days it is good for. */
static void make_certificate(
	struct fixture *f, const char *name, const char *host, const char *days)
{
	const char *command = work_printf(&f->w,
		"cd '%s' && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
		"-keyout %s.key -out %s.pem "
		"-subj /CN=%s -addext subjectAltName=DNS:%s -days %s >/dev/null 2>&1",
		folder, name, name, host, host, days);

	assert_int_equal(system(command), 0);
}

/* A certificate whose time is over, which takes an authority's command to make. */
static void make_expired_certificate(struct fixture *f)
{
	const char *command = work_printf(&f->w,
		"cd '%s' && openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
		"-keyout expired.key "
		"-out expired.csr -subj /CN=localhost -addext subjectAltName=DNS:localhost "
		">/dev/null 2>&1 && : >index.txt && "
		"printf "
		"'[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index.txt\\nnew_certs_dir=.\\nserial="
		"serial\\n"
		"default_md=sha256\\npolicy=p\\ncopy_extensions=copy\\n[p]\\ncommonName="
		"supplied\\n' >ca.cnf && "
		"openssl ca -batch -config ca.cnf -selfsign -rand_serial -keyfile expired.key -in "
		"expired.csr "
		"-out expired.pem -startdate 20200101000000Z -enddate 20200201000000Z >/dev/null "
		"2>&1",
		folder);

	assert_int_equal(system(command), 0);
}

static void stop(void *handle)
{
	struct tls_server *server = handle;

	kill(server->pid, SIGKILL);
	waitpid(server->pid, NULL, 0);
	fclose(server->out);
}

/* Replaces the process by a server on a free port; option may be NULL. */
static void run_openssl(struct fixture *f, const char *name, const char *option)
{
	execlp("openssl", "openssl", "s_server", "-accept", "127.0.0.1:0", "-cert",
		work_printf(&f->w, "%s/%s.pem", folder, name), "-key",
		work_printf(&f->w, "%s/%s.key", folder, name), "-www", "-cipher",
		"DEFAULT@SECLEVEL=0", option, (char *)NULL);
	_exit(127);
}

static struct tls_server *start(struct fixture *f, const char *name, const char *option)
{
	struct tls_server *server = work_alloc(&f->w, sizeof(*server));
	char line[256] = "";
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	server->pid = fork();
	if (!server->pid) {
		dup2(ends[1], STDOUT_FILENO);
		dup2(open("/dev/null", 2), STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		run_openssl(f, name, option);
	}
	close(ends[1]);
	server->out = fdopen(ends[0], "r");
	work_defer(&f->w, stop, server);
	while (fgets(line, sizeof(line), server->out) && !text_starts(line, "ACCEPT"))
		;
	assert_int_equal(sscanf(line, "ACCEPT 127.0.0.1:%u", &server->port), 1);
	return server;
}

static struct oauth_http_answer get_as(struct fixture *f, const struct tls_server *server,
	const char *host, const char *ca_file, int allow_loopback)
{
	struct oauth_http *http = oauth_http_new(ca_file);
	struct oauth_http_answer answer;
	struct oauth_http_request request = {
		.method = OAUTH_METHOD_GET,
		.url = work_printf(&f->w, "https://%s:%u/", host, server->port),
		.origin = work_printf(&f->w, "https://%s:%u", host, server->port),
		.scheme = "Bearer",
		.credential = fixture_secret(f, "token"),
		.total_ms = 5000,
		.allow_loopback = allow_loopback,
	};

	assert_non_null(http);
	assert_int_equal(oauth_http_call(&f->w, http, &request, &answer), ERR_OK);
	oauth_http_free(http);
	return answer;
}

static struct oauth_http_answer get(
	struct fixture *f, const struct tls_server *server, const char *host, const char *ca_file)
{
	return get_as(f, server, host, ca_file, 1);
}

static void test_the_right_certificate_is_believed(void **state)
{
	struct fixture *f = *state;
	struct tls_server *server = start(f, "good", NULL);
	struct oauth_http_answer answer = get(f, server, "localhost", in_folder(f, "good.pem"));

	assert_int_equal(answer.transport, OAUTH_TRANSPORT_OK);
	assert_int_equal(answer.status, 200);
}

static void test_https_on_this_machine_needs_no_flag(void **state)
{
	struct fixture *f = *state;
	struct tls_server *server = start(f, "good", NULL);
	const char *ca_file = in_folder(f, "good.pem");

	assert_int_equal(get_as(f, server, "localhost", ca_file, 0).status, 200);
	/* the connection is made, and the certificate is not that address's */
	assert_string_equal(get_as(f, server, "127.0.0.1", ca_file, 0).cause, "certificate");
}

static void refuse(struct oauth_http_answer answer)
{
	assert_int_equal(answer.transport, OAUTH_TRANSPORT_CERTIFICATE);
	assert_string_equal(answer.cause, "certificate");
	assert_int_equal(answer.status, 0);
}

static void test_certificates_that_prove_nothing(void **state)
{
	struct fixture *f = *state;
	struct tls_server *good = start(f, "good", NULL), *other = start(f, "other", NULL);

	refuse(get(f, good, "localhost", NULL));
	refuse(get(f, good, "localhost", in_folder(f, "other.pem")));
	refuse(get(f, other, "localhost", in_folder(f, "other.pem")));
	refuse(get(f, good, "127.0.0.1", in_folder(f, "good.pem")));
	refuse(get(f, good, "localhost", in_folder(f, "nowhere.pem")));
}

static void test_a_certificate_whose_time_is_over(void **state)
{
	struct fixture *f = *state;
	struct tls_server *server = start(f, "expired", NULL);

	refuse(get(f, server, "localhost", in_folder(f, "expired.pem")));
}

static void test_old_protocols_are_refused(void **state)
{
	struct fixture *f = *state;
	struct tls_server *server = start(f, "good", "-tls1_1");
	struct oauth_http_answer answer = get(f, server, "localhost", in_folder(f, "good.pem"));

	assert_int_equal(answer.transport, OAUTH_TRANSPORT_NOT_SENT);
	assert_string_equal(answer.cause, "tls");
	server = start(f, "good", "-tls1_2");
	assert_int_equal(get(f, server, "localhost", in_folder(f, "good.pem")).status, 200);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_begin, fixture_end)

/* Lets OpenSSL itself speak old protocols, on both sides, so that it is our own profile that
 * refuses them. */
static int loosen_openssl(void)
{
	char path[sizeof(folder) + 16];
	FILE *conf;

	snprintf(path, sizeof(path), "%s/openssl.cnf", folder);
	conf = fopen(path, "w");
	if (!conf)
		return -1;
	fputs("openssl_conf=o\n[o]\nssl_conf=s\n[s]\nsystem_default=d\n"
	      "[d]\nMinProtocol=TLSv1\nCipherString=DEFAULT@SECLEVEL=0\n[req]\ndistinguished_name="
	      "n\n[n]\n",
		conf);
	return fclose(conf) || setenv("OPENSSL_CONF", path, 1);
}

static int setup(void **state)
{
	struct fixture *f;

	strcpy(folder, "/tmp/vestal-tls-XXXXXX");
	if (!mkdtemp(folder) || loosen_openssl() || oauth_http_init() || fixture_setup(state))
		return -1;
	f = *state;
	fixture_begin(state);
	make_certificate(f, "good", "localhost", "2");
	make_certificate(f, "other", "provider.example", "2");
	make_expired_certificate(f);
	return fixture_end(state);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int failed = system(arena_printf(&f->arena, "rm -r '%s'", folder));

	oauth_http_cleanup();
	return fixture_teardown(state) || failed;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_right_certificate_is_believed),
		TEST(test_https_on_this_machine_needs_no_flag),
		TEST(test_certificates_that_prove_nothing),
		TEST(test_a_certificate_whose_time_is_over),
		TEST(test_old_protocols_are_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
