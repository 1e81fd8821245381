/* witness.c - see witness.h. */
#include "witness.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const wit_keys[WIT_KEYS] = {"alpha", "b", "", "delta", "e", "large", "never"};

size_t wit_large = 1500;

#define STRIPE 251u /* bytes of a value that are the same; a prime */

static char why[600];

bool wit_wrong(const char *format, ...) {
  va_list arguments;
  if (why[0] != '\0') return false; /* the first says most */
  va_start(arguments, format);
  (void)vsnprintf(why, sizeof why, format, arguments);
  va_end(arguments);
  return false;
}

void wit_explain(const char *format, ...) {
  va_list arguments;
  size_t at = strlen(why);
  va_start(arguments, format);
  (void)vsnprintf(why + at, sizeof why - at, format, arguments);
  va_end(arguments);
}

size_t wit_value(char *value, int write, int key) {
  size_t size = key == WIT_LARGE ? wit_large : (size_t)(8 + write % WIT_REDONE * 5 % 40);
  /* Bytes that are a chunk's size apart differ, wherever chunks begin. */
  for (size_t at = 0; at < size; at += STRIPE)
    memset(value + at, 'a' + (int)((at / STRIPE + (size_t)write) % 26),
           size - at < STRIPE ? size - at : STRIPE);
  (void)snprintf(value, size, "%d", write);
  return size;
}

static bool fetch(freyja *db, int key, int8_t *write) {
  static char value[WIT_VALUE_MAX], want[WIT_VALUE_MAX]; /* too large for a stack */
  size_t size = 0;
  freyja_error error;
  *write = -1;
  freyja_status status =
      freyja_get(db, wit_keys[key], strlen(wit_keys[key]), value, sizeof value, &size, &error);
  if (status == FREYJA_NOTFOUND) return true;
  if (status != FREYJA_OK) return wit_wrong("get of %s: %s", wit_keys[key], error.message);
  *write = (int8_t)atoi(value);
  if (wit_value(want, *write, key) != size || memcmp(want, value, size) != 0)
    return wit_wrong("%s has a value that was never written", wit_keys[key]);
  return true;
}

/* Iterating gives the same. */
static bool iterate(freyja *db, const wit_state *s) {
  freyja_iterator *iterator = NULL;
  freyja_entry entry;
  freyja_error error;
  int expected = 0, seen = 0;
  for (int k = 0; k < WIT_KEYS; k++) expected += s->of[k] >= 0;
  if (freyja_iterator_open(db, NULL, &iterator, &error) != FREYJA_OK)
    return wit_wrong("iterating: %s", error.message);
  freyja_status status;
  while ((status = freyja_iterator_next(iterator, &entry, &error)) == FREYJA_OK) seen++;
  freyja_iterator_close(iterator);
  if (status != FREYJA_END) return wit_wrong("iterating: %s", error.message);
  if (seen != expected)
    return wit_wrong("an iterator gives %d entries, not %d", seen, expected);
  return true;
}

bool wit_examine(freyja *db, wit_state *out) {
  freyja_stats stats;
  uint64_t keys = 0;
  for (int k = 0; k < WIT_KEYS; k++) {
    if (!fetch(db, k, &out->of[k])) return false;
    keys += out->of[k] >= 0;
  }
  freyja_get_stats(db, &stats);
  if (stats.recovery.damaged != 0)
    return wit_wrong("damage was reported: %s (%s)", stats.recovery.damage.message,
                     stats.recovery.damage.path);
  if (stats.keys != keys) return wit_wrong("%d keys are counted", (int)stats.keys);
  return iterate(db, out);
}

static void keep_problem(void *argument, const freyja_problem *problem) {
  (void)argument;
  (void)wit_wrong("verify: %s (%s, offset %llu)", problem->message, problem->path,
                  (unsigned long long)problem->offset);
}

bool wit_verify(freyja *db) {
  freyja_report report;
  freyja_error error;
  if (freyja_verify(db, keep_problem, NULL, &report, &error) != FREYJA_OK)
    return wit_wrong("verify: %s", error.message);
  return report.problems == 0;
}

bool wit_same(const wit_state *a, const wit_state *b) { return memcmp(a, b, sizeof *a) == 0; }

const char *wit_text(const wit_state *s) {
  static char text[2][128];
  static int turn;
  turn = 1 - turn;
  size_t at = 0;
  for (int k = 0; k < WIT_KEYS; k++)
    at += (size_t)snprintf(text[turn] + at, sizeof text[turn] - at, " %s=%d", wit_keys[k],
                           s->of[k]);
  return text[turn];
}

const char *wit_why(void) { return why; }

void wit_clear(void) { why[0] = '\0'; }
