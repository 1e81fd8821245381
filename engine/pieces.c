/* pieces.c - see pieces.h. */
#include "pieces.h"

#include <string.h>

#define EXPECTED (FJ_RUN_MAX / 2) /* entries of a piece: some have more than the average */
#define AVERAGE 64u               /* bytes of a record, before there was any */
#define PIECE_MIN (UINT64_C(128) << 10)
#define PIECE_MAX (UINT64_C(16) << 20)
#define COUNT_MAX 64u /* pieces of a step */
#define EACH 4u       /* pieces for each thread, as they do not all take the same time */

typedef struct fj_piece {
  uint64_t from, bound; /* its records begin in [from, bound) */
  uint64_t first, end;  /* where the first begins and the last ends; equal if there are none */
  uint64_t records;
  fj_run *run; /* NULL: it is empty, or there was no room for it */
  fj_tally tally;
  bool whole; /* nothing else was found in it */
} fj_piece;

/* What the threads share. */
typedef struct fj_step {
  const fj_pieces *pieces;
  fj_arena *arena;
  fj_piece list[COUNT_MAX];
  uint32_t count;
  uint32_t next; /* the one that nobody has taken yet */
} fj_step;

typedef struct fj_errand {
  fj_step *step;
  fj_entry *entries; /* FJ_RUN_MAX of them */
} fj_errand;

/* ---- a piece ----------------------------------------------------------------------- */

/* What a thread needs of the segment for each record, at hand. */
typedef struct fj_source {
  const uint8_t *map;
  uint64_t end;
  uint64_t seed, hash_seed; /* of its sums, and of keys */
  uint64_t newest, now;
  uint32_t slot;
} fj_source;

/* Whether the record, which may expire, gets no slot. It may get one although a record before
 * it, which another thread reads, has a timestamp by which it has expired: as it may by a hint
 * (hinted.h). */
static bool is_over(const fj_source *source, uint64_t expiry, fj_tally *tally) {
  uint64_t newest = tally->newest > source->newest ? tally->newest : source->newest;
  if (tally->expires == 0 || expiry < tally->expires) tally->expires = expiry;
  if (expiry <= newest) return true;
  if (expiry <= source->now) {
    if (expiry > tally->left_out) tally->left_out = expiry;
    return true;
  }
  if (tally->soonest == 0 || expiry < tally->soonest) tally->soonest = expiry;
  return false;
}

static uint64_t make_word(const fj_source *source, const fj_record *record, uint64_t offset,
                          fj_tally *tally) {
  uint64_t word = fj_word_make(source->slot, offset, record->size, record->flags);
  uint64_t expiry = fj_record_expiry(record);
  bool put = record->kind == FJ_KIND_PUT;
  bool gone = !put || (expiry != 0 && is_over(source, expiry, tally));
  tally->puts += put;
  if (record->timestamp < tally->oldest) tally->oldest = record->timestamp;
  if (record->timestamp > tally->newest) tally->newest = record->timestamp;
  return gone ? word | FJ_WORD_GONE : word;
}

/* Whether there is a whole record at `offset`. */
static bool find_record(const fj_source *source, uint64_t offset, fj_record *record,
                        uint64_t *key_hash) {
  uint64_t left = source->end - offset, seed = fj_record_seed(source->seed, offset);
  if (left < FJ_RECORD_HEADER) return false;
  if (!fj_record_parse(source->map + offset, left, record)) return false;
  *key_hash = fj_hash(record->key, record->key_size, source->hash_seed);
  return fj_record_check_header(record, seed, *key_hash) &&
         fj_record_check_value(record, seed);
}

/* Reads the records of a piece, from its first on. */
FJ_FLATTEN static void read_records(const fj_pieces *pieces, fj_piece *piece,
                                    fj_entry *entries) {
  const fj_segment *segment = pieces->segment;
  const fj_source source = {.map = segment->map,
                            .end = pieces->end,
                            .seed = segment->seed,
                            .hash_seed = segment->pool->identity.hash_seed,
                            .newest = pieces->newest,
                            .now = pieces->now,
                            .slot = segment->slot};
  const uint64_t bound = piece->bound;
  uint64_t offset = piece->first;
  uint32_t count = 0;
  fj_tally tally = {.oldest = UINT64_MAX};
  while (offset < bound && count < FJ_RUN_MAX) {
    fj_record record;
    uint64_t key_hash = 0;
    if (!find_record(&source, offset, &record, &key_hash)) break;
    uint64_t word = make_word(&source, &record, offset, &tally);
    entries[count++] = (fj_entry){key_hash, word};
    offset += record.size;
  }
  tally.tombstones = count - tally.puts;
  piece->whole = offset >= bound;
  piece->end = offset;
  piece->records = count;
  piece->tally = tally;
}

/* Where the first record of the piece may begin, or its bound. */
static uint64_t find_first(const fj_pieces *pieces, const fj_piece *piece) {
  fj_scan scan;
  fj_record record;
  fj_scan_found found = FJ_SCAN_BAD;
  uint64_t key_hash = 0;
  /* It is mapped: nothing is allocated, nor can it fail. */
  fj_scan_open(&scan, (fj_segment *)(uintptr_t)pieces->segment, piece->from, pieces->end);
  (void)fj_scan_next(&scan, &found, &record, &key_hash, NULL);
  if (found != FJ_SCAN_RECORD) (void)fj_scan_resume(&scan, piece->bound, NULL);
  return scan.offset;
}

static void *run(void *argument) {
  const fj_errand *errand = argument;
  fj_step *step = errand->step;
  const fj_pieces *pieces = step->pieces;
  uint32_t number = 0;
  while ((number = fj_take_number(&step->next)) < step->count) {
    fj_piece *piece = &step->list[number];
    piece->first = number == 0 ? piece->from : find_first(pieces, piece);
    read_records(pieces, piece, errand->entries);
    if (piece->records == 0) continue;
    piece->run =
        fj_run_make(step->arena, errand->entries, (uint32_t)piece->records, pieces->hash_mask);
  }
  return argument;
}

/* ---- all of them ------------------------------------------------------------------- */

void fj_pieces_open(fj_pieces *pieces, const fj_index *index, fj_segment *segment,
                    uint64_t from, uint64_t end) {
  memset(pieces, 0, sizeof *pieces);
  pieces->segment = segment;
  pieces->from = from;
  pieces->end = end;
  pieces->hash_mask = index->keydir.hash_mask;
  pieces->now = fj_clock_told(&index->clock);
  pieces->newest = index->last_timestamp;
  pieces->average = AVERAGE;
  pieces->patience = end < from ? 0 : (end - from) / 2;
  pieces->over = end < from || end - from < FJ_PIECES_MIN ||
                 fj_segment_at(segment, 0) == NULL ||
                 (segment->followed && end > segment->tail);
}

/* Cuts what is to be read into pieces. */
static void cut(fj_step *step) {
  const fj_pieces *pieces = step->pieces;
  uint64_t left = pieces->end - pieces->from, each = pieces->average * EXPECTED;
  if (each > left / (FJ_THREADS * EACH)) each = left / (FJ_THREADS * EACH);
  if (each > PIECE_MAX) each = PIECE_MAX;
  if (each < PIECE_MIN) each = PIECE_MIN;
  each = each / FJ_RECORD_ALIGN * FJ_RECORD_ALIGN;
  size_t size = fj_run_size(each / pieces->average + each / pieces->average / 8);
  uint64_t count = (step->arena->size - step->arena->used) / size;
  if (count > COUNT_MAX) count = COUNT_MAX;
  if (count == 0) count = 1;
  uint64_t from = pieces->from;
  for (step->count = 0; step->count < count && from < pieces->end; from += each) {
    uint64_t bound = pieces->end - from > each ? from + each : pieces->end;
    step->list[step->count++] = (fj_piece){.from = from, .bound = bound};
  }
}

/* `newest`: the timestamp of the newest record before those of the tally. */
static void add_tally(fj_tally *to, const fj_tally *tally, uint64_t newest) {
  /* What has expired by a record before it is not left out by the clock. */
  if (tally->left_out > newest && tally->left_out > to->left_out)
    to->left_out = tally->left_out;
  to->puts += tally->puts;
  to->tombstones += tally->tombstones;
  if (tally->newest > to->newest) to->newest = tally->newest;
  if (tally->oldest < to->oldest) to->oldest = tally->oldest;
  if (tally->expires != 0 && (to->expires == 0 || tally->expires < to->expires))
    to->expires = tally->expires;
  if (tally->soonest != 0 && (to->soonest == 0 || tally->soonest < to->soonest))
    to->soonest = tally->soonest;
}

/* Takes a piece that begins where the ones before it end (L1); false if nothing follows it. */
static bool take_piece(fj_pieces *pieces, const fj_piece *piece) {
  if (piece->bound <= pieces->from) return true; /* a record reaches over it */
  if (piece->first != pieces->from || piece->run == NULL) return false;
  if (pieces->last == NULL) pieces->first = piece->run;
  else pieces->last->next = piece->run;
  pieces->last = piece->run;
  add_tally(&pieces->tally, &piece->tally, pieces->newest);
  if (piece->tally.newest > pieces->newest) pieces->newest = piece->tally.newest;
  pieces->from = piece->end;
  return piece->whole;
}

void fj_pieces_step(fj_pieces *pieces, fj_arena *arena, fj_entry *scratch) {
  fj_step step = {.pieces = pieces, .arena = arena};
  fj_errand errands[FJ_THREADS];
  uint64_t begin = pieces->from, read = 0;
  uint32_t i = 0;
  cut(&step);
  for (uint32_t n = 0; n < FJ_THREADS; n++)
    errands[n] = (fj_errand){&step, scratch + (size_t)n * FJ_RUN_MAX};
  fj_thread_share(run, errands, sizeof *errands, arena->os->shares && step.count > 1);
  pieces->first = pieces->last = NULL;
  pieces->tally = (fj_tally){.oldest = UINT64_MAX};
  for (i = 0; i < step.count; i++) read += step.list[i].end - step.list[i].first;
  for (i = 0; i < step.count && take_piece(pieces, &step.list[i]);) i++;
  uint64_t taken = pieces->from - begin, vain = read > taken ? read - taken : 0;
  uint64_t records = pieces->tally.puts + pieces->tally.tombstones;
  if (records > 0) pieces->average = taken / records;
  pieces->over =
      records == 0 || vain > pieces->patience || pieces->end - pieces->from < FJ_PIECES_MIN;
  pieces->patience -= vain < pieces->patience ? vain : pieces->patience;
}
