/* operations.c - see operations.h. */
#include "operations.h"

#include <stdio.h>
#include <string.h>

#include "hash.h"
#include "log.h"
#include "mend.h"
#include "recipe.h"
#include "share.h"

#define OPERATIONS_MAX 48u /* in one input */
#define VALUE_MAX 4096u
#define EDITS_MAX 6u /* in a transaction */

/* ---- arguments ------------------------------------------------------------ */

/* A key: one of the store's own, or any. */
static freyja_slice take_key(const fuzz_store *s, fuzz_input *input) {
  uint8_t number = fuzz_byte(input);
  freyja_slice key = {NULL, 0};
  if (number >= 192 && number < 250 && s->model.count > 0) {
    key = fuzz_view_key(&s->model, &s->model.items[(number - 192u) % s->model.count]);
  } else {
    key.data = fuzz_key(number, &key.size);
  }
  return key;
}

static freyja_slice take_value(fuzz_input *input, uint8_t value[VALUE_MAX]) {
  uint8_t code = fuzz_byte(input);
  freyja_slice slice = {value, code < 240 ? code : (size_t)(code - 239) * 240};
  memset(value, code, slice.size);
  return slice;
}

/* ---- time ------------------------------------------------------------------------ */

static uint64_t fuzz_now(const fuzz_store *s) {
  return fj_clock_now(&s->db->store->index.clock);
}

/* The time of a store with these records when it is opened next. */
static uint64_t next_now(const fuzz_store *s, uint64_t newest) {
  return s->disk->clock > newest ? s->disk->clock : newest;
}

/* Time passes, unless what is read depends on it as it may not. */
static void wait_some(fuzz_store *s, uint8_t code) {
  if (s->is_flagged) s->disk->clock += (uint64_t)code << 16;
}

/* What the model says of the key, as of now. */
static const fuzz_item *see(const fuzz_store *s, freyja_slice key) {
  return fuzz_view_see(&s->model, key.data, key.size, fuzz_now(s));
}

/* ---- writing ------------------------------------------------------------------ */

/* Whether a write succeeded; a fault is checked for whether it can be. */
static bool wrote(fuzz_store *s, freyja_status status, const freyja_error *error) {
  fuzz_check_error(status, error);
  if (!freyja_is_fault(status)) return status == FREYJA_OK;
  if ((status == FREYJA_READONLY) != s->mode.readonly)
    fuzz_fail("a write: %s", freyja_status_name(status));
  if (status == FREYJA_CORRUPT && s->whole) fuzz_fail("a write without damage: corrupt");
  return false;
}

/* What the model says of a key is what a write's outcome must agree with. */
static void expect_known(freyja_status status, bool known, freyja_status if_known,
                         freyja_status if_not) {
  if (freyja_is_fault(status)) return;
  if (status != (known ? if_known : if_not))
    fuzz_fail("a write: %s, and the key is%s there", freyja_status_name(status),
              known ? "" : " not");
}

/* A key has a value now, that expires so many microseconds from now, or never (0). */
static void set(fuzz_store *s, freyja_slice key, freyja_slice value, uint64_t ttl) {
  uint64_t expiry = ttl == 0 ? 0 : fuzz_now(s) + ttl;
  fuzz_view_set(&s->model, key.data, key.size, value.data, value.size, expiry);
  s->bytes += 40 + key.size + value.size;
}

/* How long a value lives, by its size: about as long as FUZZ_WAIT waits. */
static uint64_t ttl_of(const freyja_slice *value) {
  return (uint64_t)(value->size % 64 + 1) << 16;
}

static void do_put(fuzz_store *s, fuzz_input *input, bool expires) {
  uint8_t bytes[VALUE_MAX];
  freyja_error error;
  freyja_slice key = take_key(s, input);
  freyja_slice value = take_value(input, bytes);
  uint64_t ttl = expires ? ttl_of(&value) : 0;
  freyja_status status =
      freyja_put_ttl(s->db, key.data, key.size, value.data, value.size, ttl, &error);
  if (wrote(s, status, &error)) set(s, key, value, ttl);
}

static void do_insert(fuzz_store *s, fuzz_input *input) {
  uint8_t bytes[VALUE_MAX];
  freyja_error error;
  freyja_slice key = take_key(s, input);
  freyja_slice value = take_value(input, bytes);
  uint64_t ttl = value.size % 3 == 0 ? ttl_of(&value) : 0;
  bool known = see(s, key) != NULL;
  freyja_status status =
      freyja_insert_ttl(s->db, key.data, key.size, value.data, value.size, ttl, &error);
  bool written = wrote(s, status, &error);
  if (s->whole || known) expect_known(status, known, FREYJA_EXISTS, FREYJA_OK);
  if (written) set(s, key, value, ttl);
}

static void do_delete(fuzz_store *s, fuzz_input *input) {
  freyja_error error;
  freyja_slice key = take_key(s, input);
  bool known = see(s, key) != NULL;
  freyja_status status = freyja_delete(s->db, key.data, key.size, &error);
  bool written = wrote(s, status, &error);
  if (s->whole || known) expect_known(status, known, FREYJA_OK, FREYJA_NOTFOUND);
  if (!written) return;
  s->bytes += 32 + key.size;
  fuzz_view_remove(&s->model, key.data, key.size);
}

/* Replaces a value by another if it is what the input says: another one, or none. */
static void do_cas(fuzz_store *s, fuzz_input *input) {
  uint8_t bytes[VALUE_MAX], old[VALUE_MAX];
  freyja_error error;
  freyja_slice key = take_key(s, input);
  uint8_t how = fuzz_byte(input);
  freyja_slice desired = take_value(input, bytes);
  freyja_slice expected = take_value(input, old);
  const fuzz_item *item = see(s, key);
  bool expects_none = (how & 1) != 0;
  bool deletes = (how & 2) != 0;
  bool equal = item == NULL
                   ? expects_none
                   : !expects_none && fuzz_item_is(item, expected.data, expected.size);
  uint64_t ttl = (how & 4) != 0 ? ttl_of(&desired) : 0;
  freyja_status status =
      freyja_cas_ttl(s->db, key.data, key.size, expects_none ? NULL : &expected,
                     deletes ? NULL : &desired, ttl, &error);
  bool written = wrote(s, status, &error);
  if (s->whole || item != NULL) expect_known(status, equal, FREYJA_OK, FREYJA_MISMATCH);
  if (!written) return;
  s->bytes += 32 + key.size;
  if (deletes && item != NULL) fuzz_view_remove(&s->model, key.data, key.size);
  if (!deletes) set(s, key, desired, ttl);
}

/* What a transaction does to a key. */
typedef struct edit {
  uint8_t bytes[UINT16_MAX]; /* of the key: the model's own may move */
  freyja_slice key;
  uint8_t value[VALUE_MAX];
  freyja_slice to;
  bool deletes;
} edit;

static freyja_status make_edit(fuzz_store *s, fuzz_input *input, freyja_transaction *tx,
                               edit *e, freyja_error *error) {
  freyja_slice key = take_key(s, input);
  if (key.size > 0) memcpy(e->bytes, key.data, key.size);
  e->key = (freyja_slice){e->bytes, key.size};
  e->to = take_value(input, e->value);
  e->deletes = e->to.size % 4 == 3;
  if (!e->deletes)
    return freyja_transaction_put(tx, e->key.data, e->key.size, e->to.data, e->to.size,
                                  e->to.size % 4 == 2 ? ttl_of(&e->to) : 0, error);
  freyja_status status = freyja_transaction_delete(tx, e->key.data, e->key.size, error);
  return status == FREYJA_NOTFOUND ? FREYJA_OK : status;
}

static void apply_edit(fuzz_store *s, const edit *e) {
  if (!e->deletes) set(s, e->key, e->to, e->to.size % 4 == 2 ? ttl_of(&e->to) : 0);
  else if (see(s, e->key) != NULL) fuzz_view_remove(&s->model, e->key.data, e->key.size);
}

/* Several writes at once, which take place if the commit says so. */
static void do_transact(fuzz_store *s, fuzz_input *input) {
  static edit edits[EDITS_MAX];
  freyja_error error;
  freyja_transaction *tx = NULL;
  unsigned count = fuzz_byte(input) % EDITS_MAX + 1u;
  freyja_transaction_options options = {.serializable = count % 2 == 0};
  freyja_status status = freyja_begin(s->db, &options, &tx, &error);
  for (unsigned i = 0; i < count && status == FREYJA_OK; i++)
    status = make_edit(s, input, tx, &edits[i], &error);
  if (status == FREYJA_OK) status = freyja_transaction_commit(tx, &error);
  freyja_transaction_close(tx);
  if (!wrote(s, status, &error)) return;
  for (unsigned i = 0; i < count; i++) apply_edit(s, &edits[i]);
}

/* ---- reading ------------------------------------------------------------------ */

static void drop_view(fuzz_store *s) {
  if (!s->holds) return;
  if (fj_hash(s->held.data, s->held.size, 0) != s->held_sum) fuzz_fail("a view has changed");
  freyja_view_release(&s->held);
  s->holds = false;
}

/* Asks for a value and keeps it. */
static void do_view(fuzz_store *s, fuzz_input *input) {
  freyja_error error;
  freyja_slice key = take_key(s, input);
  const fuzz_item *item = see(s, key);
  drop_view(s);
  freyja_status status = freyja_get_view(s->db, key.data, key.size, &s->held, &error);
  fuzz_check_error(status, &error);
  if (item == NULL && status == FREYJA_NOTFOUND) return;
  if (item == NULL && status == FREYJA_CORRUPT && !s->whole) return;
  if (item == NULL || status != FREYJA_OK)
    fuzz_fail("get: %s, and the key is%s there", freyja_status_name(status),
              item == NULL ? " not" : "");
  s->holds = true;
  s->held_sum = fj_hash(s->held.data, s->held.size, 0);
  if (!fuzz_item_is(item, s->held.data, s->held.size)) fuzz_fail("get: another value");
}

/* An iterator gives what there was when it was made; where somebody made up timestamps, what
 * was overwritten since it may give as another record of that time has it. */
static void finish_iterator(fuzz_store *s) {
  if (s->iterator == NULL) return;
  bool whole = fuzz_drain(s->iterator, &s->given);
  freyja_iterator_close(s->iterator);
  s->iterator = NULL;
  fuzz_view_sort(&s->given);
  if (!whole && s->expects_whole) fuzz_fail("an iterator beside writes meets damage");
  if (s->is_distinct) fuzz_view_expect(&s->given, &s->expected, "an iterator beside writes");
}

static void do_begin(fuzz_store *s, fuzz_input *input) {
  freyja_error error;
  freyja_iterator_options options = {.order = FREYJA_ORDER_LOG};
  finish_iterator(s);
  if (fuzz_byte(input) & 1) options.order = FREYJA_ORDER_KEY;
  fuzz_view_copy_live(&s->expected, &s->model, fuzz_now(s));
  s->expects_whole = s->whole;
  fuzz_view_clear(&s->given);
  if (freyja_iterator_open(s->db, &options, &s->iterator, &error) != FREYJA_OK)
    fuzz_fail("opening an iterator: %s", error.message);
}

static void do_advance(fuzz_store *s, fuzz_input *input) {
  freyja_entry entry;
  freyja_error error;
  for (uint8_t left = fuzz_byte(input) % 8; left > 0 && s->iterator != NULL; left--) {
    freyja_status status = freyja_iterator_next(s->iterator, &entry, &error);
    if (status != FREYJA_OK) return; /* finish_iterator looks at that */
    fuzz_view_add(&s->given, entry.key.data, entry.key.size, entry.value.data,
                  entry.value.size, entry.timestamp, entry.expiry);
  }
}

/* ---- the whole store ---------------------------------------------------------- */

static void examine(fuzz_store *s, const char *what) {
  static fuzz_view view, live;
  bool whole = fuzz_examine(s->db, &view);
  s->steps++;
  fuzz_view_copy_live(&live, &s->model, fuzz_now(s));
  fuzz_view_expect(&view, &live, what);
  if (s->whole && !whole) fuzz_fail("%s: not all can be read any more", what);
  s->whole = whole;
  fuzz_view_learn(&s->model, &view);
}

static void do_verify(fuzz_store *s) {
  static fuzz_view live;
  fuzz_view_copy_live(&live, &s->model, fuzz_now(s));
  uint64_t problems = fuzz_verify(s->db, live.count, s->whole);
  if (problems > 0 && s->is_sound) fuzz_fail("verify finds problems that there were not");
  s->is_sound = problems == 0;
}

static const char *copy_path(const fuzz_store *s, char path[16]) {
  (void)snprintf(path, 16, "db-%u", s->copies);
  return path;
}

/* The newest backup holds what it did when it was made, whatever was written since. */
static void check_copy(fuzz_store *s) {
  static fuzz_view view, live;
  char path[16];
  freyja_error error;
  bool whole = false;
  if (!s->has_copy) return;
  if (!fuzz_look(s->disk, copy_path(s, path), s->mode.io, &view, &whole, &error))
    fuzz_fail("a backup cannot be opened: %s (%s)", error.message, error.path);
  fuzz_view_copy_live(&live, &s->copied, next_now(s, s->copied_newest));
  fuzz_view_expect(&view, &live, "a backup");
}

static void do_backup(fuzz_store *s, fuzz_input *input) {
  char path[16];
  freyja_error error;
  freyja_backup_options options = {.copy = (fuzz_byte(input) & 1) != 0};
  check_copy(s);
  s->copies++;
  s->has_copy = false;
  freyja_status status = freyja_backup(s->db, copy_path(s, path), &options, &error);
  fuzz_check_error(status, &error);
  if (status == FREYJA_OK) {
    fuzz_view_copy(&s->copied, &s->model);
    s->copied_newest = s->db->store->index.last_timestamp;
    s->has_copy = true;
    check_copy(s);
    return;
  }
  /* A backup's file ids are far ahead: there may be none left. */
  if (s->whole && status != FREYJA_LIMIT)
    fuzz_fail("backup: %s (%s)", error.message, error.path);
  if (sim_disk_find(s->disk, path) != UINT32_MAX) fuzz_fail("a backup failed and is there");
}

/* A repair of a store to which nothing has happened gives the same. It goes by the timestamps,
 * and verify does not look at those of keys that were deleted: where somebody made them up,
 * such a key may come back. */
static void mend(fuzz_store *s, bool in_order) {
  static fuzz_view view, live;
  s->steps += 4;
  if (!fuzz_mend(s->disk, "db-again", &view)) fuzz_fail("a sound store cannot be repaired");
  fuzz_view_copy_live(&live, &s->model, next_now(s, s->newest));
  if (!in_order) fuzz_view_keep(&view, &live);
  fuzz_view_expect(&view, &live, "a repaired store");
}

/* Closes the store, or has its process die, and opens it in another way. */
static void do_reopen(fuzz_store *s, fuzz_input *input) {
  uint8_t how = fuzz_byte(input);
  freyja_error error;
  finish_iterator(s);
  drop_view(s);
  if (how & 4) sim_disk_kill(s->disk);
  else fuzz_close(s->db);
  fuzz_check_held(s->disk, "before opening again");
  s->mode.io = how & 1 ? FREYJA_IO_SYSCALL : FREYJA_IO_MMAP;
  s->mode.readonly = (how & 2) != 0;
  s->db = fuzz_open(s->disk, &s->mode, &error);
  /* What could be opened can be opened again, unless there is no number for a new file. */
  if (s->db == NULL && error.status != FREYJA_LIMIT && error.status != FREYJA_IO)
    fuzz_fail("it cannot be opened again: %s (%s)", error.message, error.path);
  if (s->db != NULL) examine(s, "opened again");
}

static void do_rotate(fuzz_store *s) {
  freyja_error error;
  (void)wrote(s, freyja_rotate(s->db, &error), &error);
  s->bytes += 256; /* a header, and a longer MANIFEST */
}

static void do_sync(fuzz_store *s) {
  freyja_error error;
  if (freyja_sync(s->db, &error) != FREYJA_OK) fuzz_fail("sync: %s", error.message);
}

static void do_operation(fuzz_store *s, uint8_t operation, fuzz_input *input) {
  s->steps++;
  switch (operation % FUZZ_OPERATIONS) {
  case FUZZ_PUT:
    do_put(s, input, false);
    break;
  case FUZZ_PUT_TTL:
    do_put(s, input, true);
    break;
  case FUZZ_DELETE:
    do_delete(s, input);
    break;
  case FUZZ_INSERT:
    do_insert(s, input);
    break;
  case FUZZ_CAS:
    do_cas(s, input);
    break;
  case FUZZ_VIEW:
    do_view(s, input);
    break;
  case FUZZ_BEGIN:
    do_begin(s, input);
    break;
  case FUZZ_ADVANCE:
    do_advance(s, input);
    break;
  case FUZZ_ROTATE:
    do_rotate(s);
    break;
  case FUZZ_SYNC:
    do_sync(s);
    break;
  case FUZZ_REOPEN:
    do_reopen(s, input);
    break;
  case FUZZ_EXAMINE:
    examine(s, "on the way");
    break;
  case FUZZ_VERIFY:
    do_verify(s);
    break;
  case FUZZ_BACKUP:
    do_backup(s, input);
    break;
  case FUZZ_TRANSACT:
    do_transact(s, input);
    break;
  default:
    wait_some(s, fuzz_byte(input));
  }
}

void fuzz_expect_again(const fuzz_store *store, const fuzz_view *view) {
  static fuzz_view live;
  fuzz_view_copy_live(&live, &store->model, next_now(store, store->newest));
  fuzz_view_expect(view, &live, "opened again");
}

void fuzz_operate(fuzz_store *store, fuzz_input *input) {
  fuzz_take_stock(store->disk, store->db, &store->is_distinct, &store->is_flagged);
  for (unsigned i = 0; i < OPERATIONS_MAX && input->left > 0 && store->db != NULL; i++)
    do_operation(store, fuzz_byte(input), input);
  finish_iterator(store);
  if (store->db == NULL) return;
  examine(store, "at the end");
  if (store->is_sound) do_verify(store);
  bool in_order = store->is_sound && fuzz_in_order(store->disk, store->db);
  store->newest = store->db->store->index.last_timestamp;
  fuzz_close(store->db);
  store->db = NULL;
  drop_view(store); /* it outlives the store */
  fuzz_check_held(store->disk, "after closing");
  check_copy(store);
  if (store->is_sound) mend(store, in_order);
}
