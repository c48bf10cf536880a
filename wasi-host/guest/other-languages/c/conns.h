/* The connections: by the slots of their handles, and in the order of their deadlines. */
#include "serve.h"

extern struct conn *first, *last; /* The connection with the earliest deadline, and the one with the latest. */
extern uint32_t connections, max_connections;
extern uint64_t idle_timeout; /* In nanoseconds. */
extern uint64_t turns;        /* The number of turns until now. */
extern uint64_t ignored;      /* The number of events that named no connection. */

/* Returns the connection with this handle, or NULL. */
struct conn *find(uint64_t source);

/* Adds a connection. Returns NULL if its slot is taken, which is a mistake of the host. */
struct conn *insert_conn(uint64_t source);

void remove_conn(struct conn *conn);

/* Sets the deadline of a connection that has just run. */
void arm(struct conn *conn, uint64_t now);

/* Returns memory of the new size. Traps if the host permits no more. */
void *grown(void *old, size_t size);
