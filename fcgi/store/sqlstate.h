/* What an SQLSTATE means to us. */
#ifndef VESTAL_STORE_SQLSTATE_H
#define VESTAL_STORE_SQLSTATE_H

#include "base/err.h"

/* The error of an SQLSTATE; ERR_DB for one that is no row of the table. Source: PostgreSQL 15,
 * appendix A. */
enum err store_sqlstate_err(const char *state);

#endif
