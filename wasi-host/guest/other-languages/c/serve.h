/* The functions that a service in C defines. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCK 4096   /* The host delivers at most this number of bytes of a connection in one turn. */
#define MAX_LINE 200 /* Less than the smallest window of `sinbin-wasi`, so that an answer to a line fits into it. */

struct conn {
  uint64_t source;                          /* The handle. */
  const uint8_t *input;                     /* The bytes that were received in this turn. */
  size_t input_len;
  bool touched;                             /* An event of this turn names it. */
  bool ended, failed, stuck, idle;          /* What the host has reported, while it holds. */
  bool returned;                            /* The host holds bytes that were returned to it. */
  bool watched;                             /* The host knows that the connection wants to receive. */
  uint64_t deadline, armed;                 /* The time when it has been idle for too long, and the turn that set it. */
  struct conn *before, *after;              /* The list of connections, by deadline. */
  uint8_t line[MAX_LINE];                   /* The beginning of a line. Only lines.c uses this. */
  size_t line_len;
};

/* The bytes that a service sends by a connection in this turn: at most `room`. */
struct out {
  uint8_t *bytes;
  size_t len, room;
};

#define CLOSE SIZE_MAX

/* Answers `len` bytes of input. Returns the number of bytes that it has used, or CLOSE. The other bytes are delivered
   again in a later turn. */
size_t serve(struct conn *conn, const uint8_t *input, size_t len, struct out *out);

/* Answers the end of the stream. */
void finish(struct conn *conn, struct out *out);
