/*
 * The ceiling of a worker: it accepts, and answers one fixed text, in libfcgi's own plain way; of
 * Vestal itself it knows nothing. Built for the benchmark alone.
 */
#include <fcgiapp.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define LISTENING 0 /* as vestal-fcgi gets it */

/* As long as the answer of a token read. */
static const char answer[] =
	"Status: 200 OK\r\nContent-Type: application/json\r\nETag: \"1\"\r\n\r\n"
	"{\"access_token\":\"1000.00000000000000000000000000000000."
	"00000000000000000000000000000000\",\"token_type\":\"Bearer\","
	"\"authorization_scheme\":\"Zoho-oauthtoken\",\"expires_at\":\"2026-01-31T12:00:00.000Z\","
	"\"expires_in\":3600,\"generation\":1,\"api_domain\":\"https://www.zohoapis.com\","
	"\"degraded\":false}";

int main(void)
{
	struct pollfd listening = {.fd = LISTENING, .events = POLLIN};
	FCGX_Request request;

	if (fcntl(LISTENING, F_SETFL, fcntl(LISTENING, F_GETFL) | O_NONBLOCK) < 0 ||
		FCGX_Init() != 0 ||
		FCGX_InitRequest(&request, LISTENING, FCGI_FAIL_ACCEPT_ON_INTR) != 0 ||
		signal(SIGPIPE, SIG_IGN) == SIG_ERR || signal(SIGTERM, SIG_DFL) == SIG_ERR) {
		fputs("empty_worker: needs a listening socket on standard input\n", stderr);
		return EXIT_FAILURE;
	}
	for (;;) {
		if (poll(&listening, 1, -1) < 0 || FCGX_Accept_r(&request) < 0)
			continue; /* another worker was faster */
		FCGX_PutStr(answer, (int)sizeof(answer) - 1, request.out);
		FCGX_Finish_r(&request);
	}
}
