/* Answers each line with the line in upper case. Bytes behind the last newline are answered without a newline. */
#include "serve.h"
#include <string.h>

static void put(struct out *out, const void *bytes, size_t len) {
  memcpy(out->bytes + out->len, bytes, len);
  out->len += len;
}

static void answer(struct conn *conn, struct out *out) {
  for (size_t i = 0; i < conn->line_len; i++)
    if (conn->line[i] >= 'a' && conn->line[i] <= 'z') conn->line[i] -= 'a' - 'A';
  put(out, conn->line, conn->line_len);
  conn->line_len = 0;
}

size_t serve(struct conn *conn, const uint8_t *input, size_t len, struct out *out) {
  static const char too_long[] = "a line is too long\n";
  for (size_t i = 0; i < len; i++) {
    /* A byte of a line is used only if the answer to the whole line fits. The rest is delivered again in a later turn. */
    if (out->room - out->len <= MAX_LINE) return i;
    if (input[i] == '\n') {
      answer(conn, out);
      put(out, "\n", 1);
    } else if (conn->line_len < MAX_LINE) {
      conn->line[conn->line_len++] = input[i];
    } else {
      put(out, too_long, sizeof too_long - 1);
      return CLOSE;
    }
  }
  return len;
}

void finish(struct conn *conn, struct out *out) { answer(conn, out); }
