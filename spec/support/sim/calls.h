/* calls.h - what the files of the simulated disk share; not for tests. */
#ifndef SIM_CALLS_H
#define SIM_CALLS_H

#include "disk.h"

/* Zeroed; ends the program if there is none. */
void *sim_allocate(size_t size);

/* Fills a table with the functions of directories.c, files.c and memory.c. */
void sim_calls_fill(fj_os *os, sim_disk *disk);
void sim_directories_fill(fj_os *os);
void sim_files_fill(fj_os *os);
void sim_memory_fill(fj_os *os);

/* Tells the hook that a call has changed something. */
void sim_record(sim_disk *disk, const char *call);

/* The handle that a descriptor stands for, and what it is open for. */
sim_handle *sim_handle_of(sim_disk *disk, int file);
sim_node *sim_node_of(sim_disk *disk, int file);

/* A descriptor for the node; -EMFILE if there is none. */
int sim_handle_new(sim_disk *disk, uint32_t node, unsigned flags, int *out);

void sim_drop_lock(sim_disk *disk, sim_handle *handle, unsigned kind);
void sim_drop_locks(sim_disk *disk, sim_handle *handle);

/* The node of a directory's descriptor; -1: the root. */
uint32_t sim_directory_of(sim_disk *disk, int dir);

/* A pending operation on a directory's entries, which programs see at once. */
void sim_add_entry(sim_disk *disk, sim_kind kind, uint32_t dir, const char *name,
                   const char *to, uint32_t target);

/* Nobody can store to it but by calls. */
void sim_forget_seen(sim_node *node);

/* A plain disk's mappings may be used up to the file's end. */
void sim_fence(const sim_disk *disk, const sim_node *node);

/* Gives back all blocks and pages. */
void sim_memory_drop(sim_disk *disk);

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
