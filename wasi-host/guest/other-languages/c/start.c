/* The other functions of the contract: the start, which reads the arguments, and those of services with jobs. */
#include "conns.h"
#include "service.h"
#include <stdlib.h>
#include <string.h>

/* Reads a span such as 500ms, 30s, 5m or off. Returns false if `text` is something else. */
static bool read_span(const char *text, uint64_t *nanoseconds) {
  char *unit;
  unsigned long count = strtoul(text, &unit, 10);
  if (strcmp(text, "off") == 0) return *nanoseconds = UINT64_MAX / 2, true;
  uint64_t size = strcmp(unit, "ms") == 0 ? 1000000 : strcmp(unit, "s") == 0 ? 1000000000 : 60000000000;
  if (count == 0 || count > 1000000 || (size == 60000000000 && strcmp(unit, "m") != 0)) return false;
  return *nanoseconds = count * size, true;
}

bool exports_sinbin_service_guest_start(exports_sinbin_service_guest_settings_t *settings,
                                        exports_sinbin_service_guest_limits_t *ret, service_string_t *err) {
  char text[64] = ""; /* All arguments, without the blank between `--idle-timeout` and its value. */
  for (size_t i = 0; i < settings->arguments.len; i++) {
    service_string_t *word = &settings->arguments.ptr[i];
    if (strlen(text) + word->len >= sizeof text) word->len = 0, strcpy(text, "?");
    strncat(text, (char *)word->ptr, word->len);
  }
  const char *span = text;
  if (text[0] == 0) span = "5m";
  if (strncmp(text, "--idle-timeout", 14) == 0) span = text + 14 + (text[14] == '=');
  max_connections = settings->max_connections;
  *ret = (exports_sinbin_service_guest_limits_t){max_connections, BLOCK, 0};
  sinbin_service_types_settings_free(settings);
  if (read_span(span, &idle_timeout)) return true;
  service_string_dup(err, "the only option is --idle-timeout SPAN, such as 500ms, 30s, 5m or off");
  return false;
}

void exports_sinbin_service_guest_compute(service_list_u8_t *job, uint32_t budget,
                                          exports_sinbin_service_guest_progress_t *ret) {
  (void)budget;
  service_list_u8_free(job);
  ret->tag = SINBIN_SERVICE_TYPES_PROGRESS_NONSENSE; /* This service submits no jobs. */
}

void exports_sinbin_service_guest_counts(exports_sinbin_service_guest_tally_t *ret) {
  *ret = (exports_sinbin_service_guest_tally_t){.ignored = ignored};
}
