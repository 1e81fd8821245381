/* iterator.c - see iterator.h. */
#include "iterator.h"

#include <assert.h>
#include <string.h>

#include "child.h"
#include "detour.h"
#include "positions.h"
#include "sorted.h"

/* A segment as the iterator knows it. */
typedef struct fj_pin {
  fj_segment *segment; /* one reference */
  uint64_t end;        /* the log's end in it, then */
} fj_pin;

struct freyja_iterator {
  fj_child child;
  fj_iterators *list; /* NULL once the store is closed */
  freyja_iterator *next, *previous;
  const fj_os *os;
  fj_index *index;
  fj_pin *pins; /* oldest first */
  uint32_t pin_count;
  uint32_t current;     /* the pin being read */
  fj_scan scan;         /* of pins[current]; its offset is the cursor */
  fj_positions changed; /* T1: timestamps */
  uint64_t swaps;       /* of the index, when the iterator was made */
  bool moves;           /* a merge was moving slots then */
  bool tracking;        /* false once a sorted iterator has found all it will give */
  bool keys_only;
  uint64_t time;                     /* when it was made: what had expired is not shown */
  bool hides;                        /* damage may hide entries: told at the end */
  uint64_t hidden_id, hidden_offset; /* the first that was met: segment and place */
  bool in_key_order;
  bool told_closed;
  fj_sorted sorted;
  uint8_t *prefix;
  size_t prefix_size;
  fj_overlay overlay; /* `self` is NULL if there is none */
  uint32_t own;       /* number of the overlay's next entry */
};

/* ---- life ----------------------------------------------------------------- */

static void unlink_iterator(freyja_iterator *it) {
  if (it->list == NULL) return;
  if (it->previous != NULL) it->previous->next = it->next;
  else it->list->first = it->next;
  if (it->next != NULL) it->next->previous = it->previous;
  it->list->count--;
  it->list = NULL;
}

/* Gives up everything but the object itself. */
static void let_go(freyja_iterator *it) {
  unlink_iterator(it);
  if (it->pins != NULL && it->current < it->pin_count) fj_scan_close(&it->scan);
  for (uint32_t i = 0; i < it->pin_count; i++) {
    it->pins[i].segment->pins--;
    fj_segment_release(it->pins[i].segment);
  }
  it->pin_count = 0;
  fj_positions_destroy(&it->changed);
  fj_sorted_destroy(&it->sorted);
  if (it->overlay.self != NULL) it->overlay.release(it->overlay.self);
  it->overlay.self = NULL;
  it->os->release(it->os->context, it->pins);
  it->os->release(it->os->context, it->prefix);
  it->pins = NULL;
  it->prefix = NULL;
}

void fj_iterator_close(freyja_iterator *iterator) {
  if (iterator == NULL) return;
  let_go(iterator);
  iterator->os->release(iterator->os->context, iterator);
}

static void end(fj_child *child) { let_go((freyja_iterator *)child); }

void fj_iterators_detach(fj_iterators *list) {
  while (list->first != NULL) let_go(list->first);
}

/* Begins to read pins[current], if there is one. */
static void begin_pin(freyja_iterator *it) {
  if (it->current >= it->pin_count) return;
  fj_pin *pin = &it->pins[it->current];
  fj_scan_open(&it->scan, pin->segment, FJ_SEGMENT_HEADER, pin->end);
}

static void pass_pin(freyja_iterator *it) {
  fj_scan_close(&it->scan);
  it->current++;
  begin_pin(it);
}

static freyja_status pin_segments(freyja_iterator *it, freyja_error *error) {
  fj_index *index = it->index;
  it->pins = it->os->allocate(it->os->context, index->count * sizeof *it->pins);
  if (it->pins == NULL) return fj_fail_memory(error, "iterate");
  for (uint32_t i = 0; i < index->count; i++) {
    fj_segment *segment = index->ranks[i];
    if (segment->missing) continue;
    fj_segment_retain(segment);
    segment->pins++;
    it->pins[it->pin_count].segment = segment;
    it->pins[it->pin_count++].end = segment->tail;
  }
  begin_pin(it);
  return FREYJA_OK;
}

static freyja_status copy_prefix(freyja_iterator *it, freyja_slice prefix,
                                 freyja_error *error) {
  if (prefix.size == 0) return FREYJA_OK;
  it->prefix = it->os->allocate(it->os->context, prefix.size);
  if (it->prefix == NULL) return fj_fail_memory(error, "iterate");
  memcpy(it->prefix, prefix.data, prefix.size);
  it->prefix_size = prefix.size;
  return FREYJA_OK;
}

/* ---- reading in the log's order ------------------------------------------- */

/* What stands for a record: its timestamp, but never 0. */
static uint64_t version_of(uint64_t timestamp) {
  return timestamp == 0 ? UINT64_MAX : timestamp;
}

/* Whether the slot points to that record or to a copy of it. */
static freyja_status is_record(freyja_iterator *it, const fj_slot *slot,
                               const fj_record *record, bool *same, freyja_error *error) {
  fj_found found = {.word = slot->word, .os = it->os};
  freyja_status status = fj_index_examine(it->index, &found, record->key_size, error);
  *same = status == FREYJA_OK && found.record.timestamp == record->timestamp;
  fj_found_release(&found);
  return status;
}

/* Whether the record at the cursor was live when the iterator was made. Where a merge may have
 * moved its slot, or may not have moved it yet, the slots of its hash are followed. */
static freyja_status was_live(freyja_iterator *it, const fj_record *record, uint64_t key_hash,
                              bool *live, freyja_error *error) {
  fj_keydir *keydir = &it->index->keydir;
  uint64_t position =
      fj_word_position(fj_word_make(it->scan.segment->slot, it->scan.offset, 0, 0));
  bool moved = it->moves || it->swaps != it->index->swaps;
  freyja_status status = FREYJA_OK;
  fj_place place;
  bool more = fj_keydir_find(keydir, key_hash & keydir->hash_mask, &place);
  *live = false;
  while (more && !*live && status == FREYJA_OK) {
    *live = fj_word_position(place.slot->word) == position;
    if (!*live && moved) status = is_record(it, place.slot, record, live, error);
    more = fj_keydir_next(&place);
  }
  if (!*live) *live = fj_positions_has(&it->changed, version_of(record->timestamp));
  return status;
}

static bool has_prefix(const freyja_iterator *it, const void *key, size_t key_size) {
  if (it->prefix_size == 0) return true;
  return key_size >= it->prefix_size && memcmp(key, it->prefix, it->prefix_size) == 0;
}

/* Whether damage may hide a newer record of the key. */
static bool is_doubtful(freyja_iterator *it) {
  if (!it->index->has_unknown) return false;
  fj_found found;
  found.segment = it->scan.segment;
  found.offset = it->scan.offset;
  return fj_index_prove(it->index, &found, NULL) != FREYJA_OK;
}

/* What lies at the scan's offset will be told of at the end. */
static void note_hidden(freyja_iterator *it) {
  if (it->hidden_id == 0) {
    it->hidden_id = it->scan.segment->id;
    it->hidden_offset = it->scan.offset;
  }
  it->hides = true;
}

/* The scan has met bytes that are no record, or cannot be read (`why`): goes on behind them.
 * The latter is told at once, but where keys are collected, which would end by it, at the end,
 * if the open has met with it. */
static freyja_status pass_span(freyja_iterator *it, freyja_error *why, freyja_error *error) {
  bool known = it->index->has_unknown && it->scan.segment->damaged;
  bool tell = why->status != FREYJA_OK && !(it->in_key_order && known);
  if (!tell) note_hidden(it);
  freyja_error fault = *why;
  freyja_status status = fj_detour_resume(&it->scan, it->scan.end, why, &fault);
  if (status != FREYJA_OK) pass_pin(it);
  else if (tell) status = why->status;
  if (status != FREYJA_OK && error != NULL) *error = fault;
  return status;
}

/* Whether the record at the cursor is one to give. */
static freyja_status is_wanted(freyja_iterator *it, const fj_record *record, uint64_t key_hash,
                               bool *wanted, freyja_error *error) {
  *wanted = false;
  if (record->kind != FJ_KIND_PUT || fj_record_is_due(record, it->time)) return FREYJA_OK;
  if (!has_prefix(it, record->key, record->key_size)) return FREYJA_OK;
  freyja_status status = was_live(it, record, key_hash, wanted, error);
  if (*wanted) *wanted = !is_doubtful(it);
  if (*wanted && it->overlay.self != NULL)
    *wanted = it->overlay.shows(it->overlay.self, record, key_hash);
  return status;
}

/* The next live record of the log, its value unread; END behind the last. After a fault the
 * next call goes on behind what could not be read. */
static freyja_status next_live(freyja_iterator *it, fj_record *record, freyja_error *error) {
  while (it->current < it->pin_count) {
    fj_scan_found found = FJ_SCAN_BAD;
    uint64_t key_hash = 0;
    freyja_error why;
    fj_error_clear(&why);
    freyja_status status = fj_scan_next(&it->scan, &found, record, &key_hash, &why);
    if (status != FREYJA_OK && !fj_scan_is_unreadable(&it->scan, &why)) {
      pass_pin(it);
      if (error != NULL) *error = why;
      return status;
    }
    if (status != FREYJA_OK || found == FJ_SCAN_BAD) {
      status = pass_span(it, &why, error);
      if (status != FREYJA_OK) return status;
    } else if (found == FJ_SCAN_END) {
      pass_pin(it);
    } else {
      bool wanted = false;
      status = is_wanted(it, record, key_hash, &wanted, error);
      if (wanted) return FREYJA_OK;
      fj_scan_skip(&it->scan, record);
      if (status != FREYJA_OK) return status;
    }
  }
  return FREYJA_END;
}

static freyja_status fail_value(freyja_iterator *it, const fj_segment *segment,
                                uint64_t offset, freyja_error *error) {
  char name[FJ_NAME_MAX];
  fj_segment_name(name, segment->id);
  return fj_fail_at(error, FREYJA_CORRUPT, it->index->dir, name,
                    "a value at offset %llu fails verification", (unsigned long long)offset);
}

/* What stands in place of END: damage that may hide entries is not passed over. It does so
 * once, so that a loop that goes on after each fault ends. */
static freyja_status at_end(freyja_iterator *it, freyja_error *error) {
  if (!it->hides) return FREYJA_END;
  it->hides = false;
  const freyja_error *known = &it->index->first_damage;
  if (it->index->has_unknown)
    return fj_fail(error, FREYJA_CORRUPT, known->path, "entries may be missing: %s",
                   known->message);
  char name[FJ_NAME_MAX];
  fj_segment_name(name, it->hidden_id);
  return fj_fail_at(error, FREYJA_CORRUPT, it->index->dir, name,
                    "a record at offset %llu has been damaged: entries are missing",
                    (unsigned long long)it->hidden_offset);
}

static void fill_entry(freyja_entry *entry, const fj_record *record, bool keys_only) {
  entry->key.data = record->key;
  entry->key.size = record->key_size;
  entry->value.data = keys_only ? NULL : record->value;
  entry->value.size = keys_only ? 0 : record->value_size;
  entry->timestamp = record->timestamp;
  entry->expiry = fj_record_expiry(record);
}

/* The overlay's next entry; false if there is none. */
static bool next_own(freyja_iterator *it, freyja_entry *entry) {
  while (it->overlay.self != NULL && it->overlay.entry(it->overlay.self, &it->own, entry)) {
    it->own++;
    if (it->keys_only) entry->value = (freyja_slice){NULL, 0};
    if (has_prefix(it, entry->key.data, entry->key.size)) return true;
  }
  return false;
}

static freyja_status next_in_log(freyja_iterator *it, freyja_entry *entry,
                                 freyja_error *error) {
  fj_record record;
  freyja_status status = next_live(it, &record, error);
  if (status == FREYJA_END) return next_own(it, entry) ? FREYJA_OK : at_end(it, error);
  if (status != FREYJA_OK) return status;
  bool valid = true;
  uint64_t offset = it->scan.offset;
  if (!it->keys_only) status = fj_scan_value(&it->scan, &record, &valid, error);
  fj_scan_skip(&it->scan, &record); /* even if that failed: the next call goes on behind it */
  if (status != FREYJA_OK) return status;
  if (!valid) return fail_value(it, it->scan.segment, offset, error);
  fill_entry(entry, &record, it->keys_only);
  return FREYJA_OK;
}

/* ---- reading in the keys' order ------------------------------------------- */

static freyja_status collect_own(freyja_iterator *it, freyja_error *error) {
  freyja_entry entry;
  freyja_status status = FREYJA_OK;
  while (status == FREYJA_OK && next_own(it, &entry))
    status = fj_sorted_add(&it->sorted, entry.key, NULL, it->own - 1, 0, error);
  return status;
}

static freyja_status collect(freyja_iterator *it, freyja_error *error) {
  fj_record record;
  freyja_status status = FREYJA_OK;
  while ((status = next_live(it, &record, error)) == FREYJA_OK) {
    freyja_slice key = {record.key, record.key_size};
    status =
        fj_sorted_add(&it->sorted, key, it->scan.segment, it->scan.offset, record.size, error);
    if (status != FREYJA_OK) return status;
    fj_scan_skip(&it->scan, &record);
  }
  if (status == FREYJA_END) status = collect_own(it, error);
  if (status != FREYJA_OK) return status;
  fj_sorted_sort(&it->sorted);
  it->tracking = false; /* from here on it reads records, whatever points to them */
  fj_positions_destroy(&it->changed);
  return FREYJA_OK;
}

static freyja_status next_in_order(freyja_iterator *it, freyja_entry *entry,
                                   freyja_error *error) {
  const fj_sorted_item *item = fj_sorted_next(&it->sorted);
  if (item == NULL) return at_end(it, error);
  if (item->segment == NULL) {
    it->own = (uint32_t)item->offset;
    (void)next_own(it, entry);
    return FREYJA_OK;
  }
  entry->key.data = item->key;
  entry->key.size = item->key_size;
  entry->value.data = NULL;
  entry->value.size = 0;
  fj_record record;
  freyja_status status = fj_sorted_read(&it->sorted, item, it->keys_only, &record, error);
  if (status == FREYJA_CORRUPT) return fail_value(it, item->segment, item->offset, error);
  if (status != FREYJA_OK) return status;
  if (!it->keys_only) {
    fill_entry(entry, &record, false);
  } else {
    entry->timestamp = record.timestamp;
    entry->expiry = fj_record_expiry(&record);
  }
  return FREYJA_OK;
}

/* ---- the interface -------------------------------------------------------- */

freyja_status fj_iterator_create(fj_iterators *list, fj_index *index,
                                 const freyja_iterator_options *options,
                                 const fj_overlay *overlay, freyja_iterator **out,
                                 freyja_error *error) {
  static const freyja_iterator_options defaults = {.order = FREYJA_ORDER_LOG};
  const fj_os *os = index->dir->os;
  if (options == NULL) options = &defaults;
  *out = NULL;
  freyja_iterator *it = os->allocate(os->context, sizeof *it);
  if (it == NULL) {
    if (overlay != NULL) overlay->release(overlay->self);
    return fj_fail_memory(error, "iterate");
  }
  memset(it, 0, sizeof *it);
  it->child.end = end;
  if (overlay != NULL) it->overlay = *overlay;
  it->os = os;
  it->index = index;
  it->keys_only = options->keys_only;
  it->time = fj_clock_now(&index->clock);
  it->hides = index->has_unknown;
  it->in_key_order = options->order == FREYJA_ORDER_KEY;
  it->tracking = true;
  it->swaps = index->swaps;
  it->moves = index->retired > 0;
  fj_positions_create(&it->changed, os);
  fj_sorted_create(&it->sorted, os);
  it->list = list;
  it->next = list->first;
  if (list->first != NULL) list->first->previous = it;
  list->first = it;
  list->count++;
  freyja_status status = copy_prefix(it, options->prefix, error);
  if (status == FREYJA_OK) status = pin_segments(it, error);
  if (status == FREYJA_OK && it->in_key_order) status = collect(it, error);
  if (status != FREYJA_OK) fj_iterator_close(it);
  else *out = it;
  return status;
}

freyja_status fj_iterator_next(freyja_iterator *iterator, freyja_entry *entry,
                               freyja_error *error) {
  if (iterator->list == NULL) {
    if (iterator->told_closed) return FREYJA_END;
    iterator->told_closed = true;
    return fj_fail(error, FREYJA_CLOSED, NULL, "the iterator's store is closed");
  }
  return iterator->in_key_order ? next_in_order(iterator, entry, error)
                                : next_in_log(iterator, entry, error);
}

freyja_status fj_iterators_reserve(fj_iterators *list, uint64_t count, freyja_error *error) {
  for (freyja_iterator *it = list->first; it != NULL; it = it->next) {
    if (!it->tracking || it->current >= it->pin_count) continue;
    if (!fj_positions_reserve(&it->changed, count))
      return fj_fail_memory(error, "keep an iterator's view");
  }
  return FREYJA_OK;
}

/* Whether the iterator is still to come to that place. */
static bool is_ahead(const freyja_iterator *it, const fj_segment *segment, uint64_t offset) {
  if (!it->tracking || it->current >= it->pin_count) return false;
  /* Ranks are not what they were, and copies may stand for what is ahead. */
  if (it->moves || it->swaps != it->index->swaps) return true;
  const fj_pin *last = &it->pins[it->pin_count - 1];
  if (segment->rank > last->segment->rank) return false;
  if (segment == last->segment && offset >= last->end) return false;
  if (segment == it->scan.segment) return offset >= it->scan.offset;
  return segment->rank > it->scan.segment->rank;
}

void fj_iterators_note(fj_iterators *list, const fj_segment *segment, uint64_t offset,
                       uint64_t timestamp) {
  for (freyja_iterator *it = list->first; it != NULL; it = it->next)
    if (is_ahead(it, segment, offset)) fj_positions_add(&it->changed, version_of(timestamp));
}
