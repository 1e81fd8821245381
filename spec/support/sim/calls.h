/* calls.h - what the files of the simulated disk share; not for tests. */
#ifndef SIM_CALLS_H
#define SIM_CALLS_H

#include "disk.h"

/* Zeroed; ends the program if there is none. */
void *sim_allocate(size_t size);

/* Fills a table with the functions of calls.c. */
void sim_calls_fill(fj_os *os, sim_disk *disk);

/* Counts a call that may fail, about the file or directory `name` in `node`, or `node` itself
 * if name is NULL. The errno that it fails with, or 0. Sees stores to mapped files first:
 * they came before. */
int sim_fails(sim_disk *disk, const char *call, uint32_t node, const char *name);

/* How much of its work a call does that got `code`, 0 or an errno. */
sim_effect sim_effect_of(const sim_disk *disk, int code);

/* Whether the read or write that was just counted is to be short. */
bool sim_is_short(const sim_disk *disk);

/* Counts an allocation; whether it fails. */
bool sim_memory_fails(sim_disk *disk);

/* Remembers a failure that has a reason of its own, and returns -code. */
int sim_failed(sim_disk *disk, const char *call, int code, uint32_t node, const char *name);

/* What becomes of a file's pages when a sync fails. */
void sim_lose_pages(sim_disk *disk, uint32_t node);

/* Adds a pending change (data units: with a copy of the bytes); asks the order checker. */
void sim_unit_add(sim_disk *disk, const sim_unit *unit, const void *data);

/* Adds data, a unit for each page. */
void sim_add_data(sim_disk *disk, uint32_t node, bool mapped, uint64_t offset, uint64_t size,
                  const uint8_t *data);

/* Whether the unit is an operation on a directory's entries. */
bool sim_is_entry(const sim_unit *unit);

/* What a unit of a file does to it, with other data or less of it than the unit's own. */
void sim_bytes_apply(sim_bytes *bytes, const sim_unit *unit, const uint8_t *data,
                     uint64_t size);

/* What a unit of a directory does to it. */
void sim_entries_apply(sim_entries *entries, const sim_unit *unit);

/* Makes the pending units of a node durable, or forgets them. */
void sim_settle(sim_disk *disk, uint32_t node, bool lose);

#endif
