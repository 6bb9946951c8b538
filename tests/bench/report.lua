-- What wrk sends with every request, and what it reports: one line of JSON, its last. The key comes by the
-- environment, because arguments are everybody's to read.
wrk.headers["Authorization"] = os.getenv("BENCH_AUTHORIZATION")

function done(summary, latency)
	local e = summary.errors
	io.write(string.format('{"requests": %d, "seconds": %.6f, "p99_ms": %.3f, "errors": %d}\n',
		summary.requests, summary.duration / 1e6, latency:percentile(99) / 1e3,
		e.connect + e.read + e.write + e.timeout + e.status))
end
