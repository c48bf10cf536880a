/* The connections: by the slots of their handles, and in the order of their deadlines. */
#include "conns.h"
#include <stdlib.h>
#include <string.h>

struct conn *first, *last;
uint32_t connections, max_connections;
uint64_t idle_timeout, turns;

static struct conn **table; /* The host numbers the slots densely, so that the table is about as long as needed. */
static size_t slots;

void *grown(void *old, size_t size) {
  void *new = realloc(old, size);
  if (!new) abort();
  return new;
}

struct conn *find(uint64_t source) {
  uint32_t slot = (uint32_t)source;
  struct conn *conn = slot < slots ? table[slot] : NULL;
  if (conn && conn->source == source) return conn;
  return NULL;
}

static void unlink_conn(struct conn *conn) {
  *(conn->before ? &conn->before->after : &first) = conn->after;
  *(conn->after ? &conn->after->before : &last) = conn->before;
}

static void link_last(struct conn *conn) {
  conn->before = last, conn->after = NULL;
  *(last ? &last->after : &first) = conn;
  last = conn;
}

void arm(struct conn *conn, uint64_t now) {
  conn->deadline = now + idle_timeout, conn->armed = turns;
  unlink_conn(conn);
  link_last(conn);
}

struct conn *insert_conn(uint64_t source) {
  size_t slot = (uint32_t)source;
  if (slot >= slots) {
    size_t more = 2 * (slot + 1);
    table = grown(table, more * sizeof *table);
    memset(table + slots, 0, (more - slots) * sizeof *table);
    slots = more;
  }
  if (table[slot]) return NULL;
  struct conn *conn = table[slot] = grown(NULL, sizeof *conn);
  *conn = (struct conn){.source = source, .armed = turns};
  link_last(conn);
  connections++;
  return conn;
}

void remove_conn(struct conn *conn) {
  unlink_conn(conn);
  table[(uint32_t)conn->source] = NULL;
  free(conn);
  connections--;
}
