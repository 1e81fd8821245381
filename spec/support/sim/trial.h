/* trial.h - a store on a simulated disk whose calls fail, and all that must hold whatever
 * fails.
 *
 * A trial goes through steps (steps.c): each calls the engine once, or a few times, and
 * judges what comes back. It knows what each key holds after each write that was
 * acknowledged. So it can tell that
 *
 * - a call returns a fault only if a call of the disk failed under it, of the status that
 *   the errno stands for, about that file; and returns one whenever a sync failed;
 * - a write that failed changed nothing that can be read, and one that returned OK is there;
 * - after a sync of a data file failed, and only then, the store takes no more writes;
 * - where a failed sync dropped pages, reads raise CORRUPT or are right;
 * - when the fault is gone the store works, at once or, poisoned, when it was opened again;
 *   it then holds all that was acknowledged or, where pages were dropped, a prefix with all
 *   that a sync promised; a write that poisoned the store is there or not, from then on;
 * - power may fail before and after that, and the same holds;
 * - verify finds nothing unless calls failed under it; a second store that backup or repair
 *   made holds what the first one held, and one that they did not make is no store;
 * - all is given back, and writes and syncs keep their order (order.c).
 *
 * The first thing found wrong ends the trial: the steps then do nothing. */
#ifndef SIM_TRIAL_H
#define SIM_TRIAL_H

#include "states.h"

#define TRIAL_KEYS 48u
#define TRIAL_WRITES 96u   /* in one session, at most */
#define TRIAL_SERIALS 1024 /* of writes in all */
#define TRIAL_PROBE 40u    /* bytes of the values that trial_put_probe writes */

/* What a key holds: the serial number of a write, or one of these. */
enum { TRIAL_ABSENT = -1, TRIAL_CORRUPT = -2, TRIAL_WRONG = -3 };

typedef struct trial_state {
  int16_t of[TRIAL_KEYS];
} trial_state;

/* A store that is made from the other one (other.c). */
typedef struct trial_other {
  const char *path; /* of its directory; NULL: none was to be made */
  bool made;        /* the call returned OK */
  bool mended;      /* by repair: it is whole, whatever the first one is */
  bool loose;       /* it may lack what could not be read */
  trial_state holds;
} trial_other;

typedef struct trial {
  sim_disk *disk;
  freyja *db;             /* NULL while it is closed */
  freyja_options options; /* of the next open */
  sim_fault fault;        /* for trial_arm */
  uint64_t space;         /* likewise: bytes that are left, 0: no limit */

  trial_state states[TRIAL_WRITES + 2]; /* after 0, 1, 2... writes since the open */
  int acknowledged, promised;           /* numbers of writes */
  bool doubt; /* states[acknowledged + 1] may be there when it is opened again */
  int serial; /* of the last write that was tried; from 1 on */
  uint16_t sizes[TRIAL_SERIALS]; /* bytes of the values, by serial */
  bool broken;                   /* files of it are damaged: keys may be TRIAL_CORRUPT */
  bool merged;                   /* segments, and does it again when nothing fails any more */
  trial_other other;

  freyja_stats before; /* the call that is judged; zeros if the store was closed */
  freyja_error error;
  long calls, allocations;               /* while it was armed */
  long failed_calls, failed_allocations; /* likewise */
  long second_calls;                     /* of the session that had a second fault */
  sim_failure first_failure;             /* its call is NULL: none */
  long disks;                            /* that losses of power left */
  char why[600];                         /* what is wrong; empty: nothing */
} trial;

/* Begins a trial: no store on an empty disk. Fields of options may then be changed. */
void trial_create(trial *t, freyja_io io);
void trial_destroy(trial *t);

/* A copy of a trial whose store is closed, with a disk of its own, all durable. */
void trial_copy(trial *to, const trial *from);

/* From here on calls fail as t->fault says; until here. */
void trial_arm(trial *t);
void trial_disarm(trial *t);

/* How a trial ends: what follows the last step. */
typedef struct trial_ending {
  enum {
    TRIAL_HEAL,  /* the fault is gone: the store works on, and is closed */
    TRIAL_CLOSE, /* it is closed as it is */
    TRIAL_KILL   /* the process dies */
  } how;
  bool power;  /* losses of power: every disk that they may leave, not only two */
  long second; /* the call that fails in the session that opens it again; 0: none */
} trial_ending;

/* The fault is gone; ends the trial and sees that the store is as it must be. */
void trial_finish(trial *t, const trial_ending *ending);

/* ---- steps ------------------------------------------------------------ */

/* `key` is 0 to TRIAL_KEYS - 2; the last one is for the probe. */
void trial_open(trial *t);
void trial_close(trial *t);
void trial_put(trial *t, unsigned key);
void trial_put_large(trial *t, unsigned key);
void trial_put_probe(trial *t, unsigned key); /* always a record of the same size */
void trial_put_late(trial *t, unsigned key);  /* it expires, long after the trial */
void trial_expire(trial *t, unsigned key);    /* it expires at once: the key is absent */
void trial_insert(trial *t, unsigned key);
void trial_delete(trial *t, unsigned key);
void trial_cas(trial *t, unsigned key);         /* expects what is there */
void trial_cas_wrongly(trial *t, unsigned key); /* expects what is not */
void trial_cas_delete(trial *t, unsigned key);
/* A transaction of several writes around that key: puts, one of them large, and deletions;
 * `large`: in the end it does not fit what is left of the segment. */
void trial_transact(trial *t, unsigned key, bool large);
/* Loads several keys from that one on at once, two of them twice. */
void trial_load(trial *t, unsigned key);
void trial_sync(trial *t);
void trial_rotate(trial *t);
void trial_hint(trial *t); /* of each sealed segment */
void trial_checkpoint(trial *t);
/* The same, while a merge is moving slots. */
void trial_checkpoint_moving(trial *t);
void trial_get(trial *t, unsigned key);
void trial_has(trial *t, unsigned key);
void trial_get_all(trial *t);
/* Iterates; `write`: and writes meanwhile. */
void trial_iterate(trial *t, freyja_order order, bool keys_only, bool write);
/* Takes views of keys, writes, closes the store, and releases them. */
void trial_views(trial *t);
void trial_stats(trial *t);
void trial_verify(trial *t);
/* Merges all sealed segments, by steps, with a write in between. */
void trial_merge(trial *t);
/* Rewrites them record by record: some are kept, some changed, some dropped. */
void trial_transform(trial *t);
/* Makes a second store: one a trial. */
void trial_backup(trial *t, bool copy);
void trial_repair(trial *t); /* of the closed store */

/* ---- for steps -------------------------------------------------------- */

typedef enum trial_kind {
  TRIAL_READS,
  TRIAL_WRITES_TO,
  TRIAL_OPENS,
  TRIAL_CLOSES,
  TRIAL_COPIES /* makes a second store */
} trial_kind;

/* Says what is wrong; only the first counts. */
void trial_wrong(trial *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Whether steps do anything: the store is open and nothing is wrong. */
bool trial_runs(const trial *t);

/* Reads what all keys of a store hold. False: it is wrong. */
bool trial_examine(trial *t, freyja *db, trial_state *out);

/* The second store on that disk, which is the trial's own or one after a loss of power, is
 * what it must be. Nothing fails any more. */
void trial_check_other(trial *t, sim_disk *disk);

/* Around each call of the engine: `call` names it. */
void trial_begin(trial *t);
void trial_judge(trial *t, trial_kind kind, const char *call, freyja_status status);

const trial_state *trial_now(const trial *t);

#define TRIAL_KEY_SIZE 5u
#define TRIAL_VALUE_MAX 2048u

/* Writes the key's name; no NUL. */
void trial_name(unsigned key, char name[TRIAL_KEY_SIZE]);

/* The key of a name; TRIAL_KEYS if it is none. */
unsigned trial_key_of(const freyja_slice *name);

/* Writes the value that write `serial` gives to a key in `size` bytes. */
void trial_make_value(char *value, size_t size, int serial, unsigned key);

/* The serial of a value of the key; TRIAL_WRONG if it is none. */
int trial_serial_of(const void *value, size_t size, unsigned key);

#endif
