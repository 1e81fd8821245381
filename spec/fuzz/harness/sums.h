/* sums.h - makes the sums of hostile bytes right, so that a fuzzer gets behind them: the
 * files that somebody who knows the format would make. A sum whose bytes are all zero stays
 * as it is, so that damage can be had too. */
#ifndef FUZZ_SUMS_H
#define FUZZ_SUMS_H

#include "segment.h"

/* The identity of the stores in the corpus. */
extern const fj_identity fuzz_identity;

/* The identity that a MANIFEST gives; fuzz_identity if it is too short for that. */
fj_identity fuzz_manifest_identity(const uint8_t *bytes, size_t size);

/* The check of a MANIFEST: its last 8 bytes. */
void fuzz_seal_manifest(uint8_t *bytes, size_t size);

/* The sums of the record at `offset`, which ends within the `size` bytes of its file. */
void fuzz_seal_record(uint8_t *bytes, uint64_t offset, const fj_record *record,
                      const fj_identity *identity, uint64_t id);

/* The header's check, the marks' and those of every record that can be found. */
void fuzz_seal_data(uint8_t *bytes, size_t size, const fj_identity *identity, uint64_t id);

/* The check of the mark in that slot. */
void fuzz_seal_mark(uint8_t *bytes, unsigned slot, const fj_identity *identity, uint64_t id);

#endif
