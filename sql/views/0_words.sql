-- Words the views and statements share. Plain enough to be inlined: a `set` clause or a stricter volatility would forbid
-- it, and their bodies are bound to names when they are made.

-- RFC 3339 in UTC with milliseconds.
create or replace function vestal.rfc3339(at timestamptz) returns text language sql stable parallel safe
	return to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

-- Seconds from now, never below 0; null where there is no end.
create or replace function vestal.seconds_left(at timestamptz) returns bigint language sql stable parallel safe
	return case when at is not null then greatest(0, floor(extract(epoch from at - now())))::bigint end;

-- The day a week from now, UTC: what ends before it is told ahead.
create or replace function vestal.in_a_week() returns date language sql stable parallel safe
	return (now() at time zone 'UTC')::date + 7;
