# Turns SQL files into C. Called as
#   awk -v what=enum|table|scripts -f embed-sql.awk FILE...
# enum:    the names of the statements of sql/queries, for fcgi/store/stmt.auto.h
# table:   their text, role and number of parameters, for fcgi/store/stmt.auto.c
# scripts: whole files with their names, for fcgi/store/schema.auto.c
# A statement file begins with the comment lines role:, params: and rows:.

function fail(why) { print FILENAME ": " why > "/dev/stderr"; failed = 1; exit 1 }

# Puts a backslash before each character of `which`. No gsub: awks disagree on backslashes in its replacement.
function escape(text, which,   out, i, c) {
	out = ""
	for (i = 1; i <= length(text); i++) {
		c = substr(text, i, 1)
		out = out (index(which, c) ? "\\" c : c)
	}
	return out
}

function quoted(text) {
	gsub(/\t/, " ", text)
	return "\"" escape(text, "\\\"") "\\n\""
}

function base(path) { sub(/.*\//, "", path); return path }

function name_of(path,   parts, n) {
	n = split(path, parts, "/")
	sub(/\.sql$/, "", parts[n])
	return toupper(parts[n - 1] "_" parts[n])
}

function finish() {
	if (current == "" || what == "enum")
		return
	if (what == "table" && (roles == "" || params < 0 || !has_rows))
		fail("needs the lines role:, params: and rows:")
	if (what == "table")
		printf "\t[STMT_%s] = {\"%s\", %s, %d,\n%s},\n", name_of(current), tolower(name_of(current)), roles, params, text
	else
		printf "\t{\"%s\", %s},\n", base(current), text
}

FNR == 1 {
	finish()
	current = FILENAME; text = ""; roles = ""; params = -1; has_rows = 0
	if (what == "enum")
		printf "\tSTMT_%s,\n", name_of(current)
}

what == "table" && /^-- role:/ {
	for (i = 3; i <= NF; i++)
		roles = roles (roles == "" ? "" : " | ") "1U << STORE_" toupper($i)
}
what == "table" && /^-- params:/ {
	line = $0; params = 0
	while (match(line, /\$[0-9]+/)) {
		number = substr(line, RSTART + 1, RLENGTH - 1) + 0
		if (number > params) params = number
		line = substr(line, RSTART + RLENGTH)
	}
}
what == "table" && /^-- rows:/ { has_rows = 1 }
what == "table" && /^--/ { next }
{ text = text "\t" quoted($0) "\n" }

END { if (!failed) finish() }
