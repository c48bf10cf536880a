/* The functions of the contract: keeps the connections, and calls `serve` for those with an event. */
#include "conns.h"
#include "service.h"
#include <stdlib.h>

#define EVENT(name) SINBIN_SERVICE_TYPES_EVENT_##name
#define COMMAND(name) SINBIN_SERVICE_TYPES_COMMAND_##name
#define REST(name) SINBIN_SERVICE_TYPES_REST_##name
#define MAX_LISTENERS 64
#define RECV SINBIN_SERVICE_TYPES_INTEREST_RECV

typedef sinbin_service_types_event_t event_t;
typedef sinbin_service_types_command_t command_t;

uint64_t ignored;
static uint64_t listeners[MAX_LISTENERS], before; /* `before` is the time of the previous turn. */
static size_t listening;
static bool stopping;
static const uint8_t *input, *input_end; /* The bytes of the events that have not been noted. */
static exports_sinbin_service_guest_answer_t *answer;
static size_t command_room, output_room;

static void say(command_t command) {
  if (answer->commands.len == command_room)
    answer->commands.ptr = grown(answer->commands.ptr, (command_room = 2 * command_room + 16) * sizeof command);
  answer->commands.ptr[answer->commands.len++] = command;
}

static void watch(uint64_t source, uint8_t interest) {
  say((command_t){COMMAND(WATCH), .val.watch = {source, interest}});
}

static void close_conn(struct conn *conn) {
  say((command_t){COMMAND(CLOSE), .val.close = conn->source});
  remove_conn(conn);
}

/* Returns the next bytes of the input, or NULL if there are fewer. */
static const uint8_t *take(size_t len) {
  if (len > (size_t)(input_end - input)) return NULL;
  input += len;
  return input - len;
}

/* Notes an event of a connection, and returns the connection, or NULL if the event names none. */
static struct conn *note_conn(const event_t *event) {
  const uint8_t *bytes = event->tag == EVENT(RECEIVED) ? take(event->val.received.len) : NULL;
  /* Each of these events begins with the handle of its source. */
  struct conn *conn = find(event->val.ended);
  if (!conn) return NULL;
  switch (event->tag) {
  case EVENT(RECEIVED):
    if (!bytes) return NULL;
    conn->input = bytes, conn->input_len = event->val.received.len, conn->returned = conn->idle = false;
    break;
  case EVENT(ENDED): conn->ended = true; break;
  case EVENT(FAILED): conn->failed = true; break;
  case EVENT(IDLE): conn->idle = true; break;
  case EVENT(STUCK): conn->stuck = true; break;
  case EVENT(WRITABLE): conn->stuck = false; break;
  }
  return conn;
}

/* Notes an event, and returns its connection, or NULL. */
static struct conn *note(const event_t *event, uint64_t *took, bool *more) {
  struct conn *conn;
  switch (event->tag) {
  case EVENT(LISTENER):
    if (listening < MAX_LISTENERS) watch(listeners[listening++] = event->val.listener, RECV);
    return NULL;
  case EVENT(ACCEPTED):
    take(event->val.accepted.len); /* The address of the client, which is not needed. */
    conn = insert_conn(event->val.accepted.connection);
    break;
  case EVENT(STOP):
    stopping = true;
    for (size_t i = 0; i < listening; i++) say((command_t){COMMAND(CLOSE), .val.close = listeners[i]});
    return NULL;
  case EVENT(TOOK):
    *took = event->val.took;
    return NULL;
  case EVENT(MORE):
    *more = true;
    return NULL;
  default:
    conn = note_conn(event);
  }
  if (!conn) ignored++;
  return conn;
}

/* Calls the service for a connection, and tells the host what the connection waits for. */
static void run(struct conn *conn, uint64_t now, uint32_t window) {
  size_t used = 0, room = conn->stuck ? 0 : window < 2 * BLOCK ? window : 2 * BLOCK;
  if (answer->output.len + room > output_room)
    answer->output.ptr = grown(answer->output.ptr, output_room = 2 * (answer->output.len + room));
  struct out out = {answer->output.ptr + answer->output.len, 0, room};
  if (!conn->stuck && conn->input_len > 0) used = serve(conn, conn->input, conn->input_len, &out);
  bool at_end = conn->ended && !conn->returned && !conn->stuck && used == conn->input_len;
  if (at_end) finish(conn, &out);
  if (out.len > 0) {
    say((command_t){COMMAND(SEND), .val.send = {conn->source, out.len}});
    answer->output.len += out.len;
  }
  if (at_end || used == CLOSE || conn->failed || conn->idle) return close_conn(conn);
  if (used < conn->input_len) {
    say((command_t){COMMAND(UNREAD), .val.unread = {conn->source, conn->input_len - used}});
    conn->returned = true;
  }
  conn->input_len = 0;
  if (conn->watched == conn->stuck) watch(conn->source, (conn->watched = !conn->stuck) ? RECV : 0);
  arm(conn, now);
}

void exports_sinbin_service_guest_turn(uint64_t now, uint32_t window, exports_sinbin_service_guest_list_event_t *events,
                                       service_list_u8_t *bytes, exports_sinbin_service_guest_answer_t *ret) {
  answer = ret;
  *answer = (exports_sinbin_service_guest_answer_t){.rest.tag = REST(WAITING)};
  command_room = output_room = 0;
  turns++;
  input = bytes->ptr, input_end = input + bytes->len;
  uint64_t took = 0;
  bool more = false;
  struct conn **touched = grown(NULL, (events->len + 1) * sizeof *touched);
  size_t count = 0;
  /* All events of a connection are noted before it runs, and it runs once. */
  for (size_t i = 0; i < events->len; i++) {
    struct conn *conn = note(&events->ptr[i], &took, &more);
    if (conn && !conn->touched) (touched[count++] = conn)->touched = true;
  }
  for (struct conn *conn = last; conn && conn->armed + 1 >= turns; conn = conn->before) conn->deadline += took;
  /* A deadline expires in the turn after the one that reached it: what arrived before it is delivered first. */
  for (struct conn *conn = first, *after; conn && conn->deadline <= before && !more; conn = after) {
    after = conn->after;
    if (!conn->touched) close_conn(conn);
  }
  before = now;
  for (size_t i = 0; i < count; i++) {
    touched[i]->touched = false;
    run(touched[i], now, window);
  }
  answer->room = connections < max_connections ? max_connections - connections : 0;
  if (stopping && !connections) answer->rest.tag = REST(OVER);
  else if (first) answer->rest.tag = first->deadline > now ? REST(UNTIL) : REST(READY);
  if (answer->rest.tag == REST(UNTIL)) answer->rest.val.until = first->deadline;
  free(touched);
  exports_sinbin_service_guest_list_event_free(events);
  service_list_u8_free(bytes);
}
