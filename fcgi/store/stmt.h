/* The table of statements that tools/dev/embed-sql.awk makes from sql/queries. */
#ifndef VESTAL_STORE_STMT_H
#define VESTAL_STORE_STMT_H

struct stmt_row {
	const char *name;
	unsigned roles; /* bits of enum store_role */
	int params;
	const char *sql;
};

extern const struct stmt_row store_stmts[];

#endif
