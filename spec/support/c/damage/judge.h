/* judge.h - what a store may say after damage: told from the bytes of its files alone, before
 * they were damaged and after, by the rules of engine/FORMAT.md and the README's promises. */
#ifndef DAMAGE_JUDGE_H
#define DAMAGE_JUDGE_H

#include "image.h"

/* What became of a record. */
typedef enum jdg_fate {
  JDG_WHOLE, /* as it was */
  JDG_VALUE, /* its value alone is damaged: its key is known */
  JDG_HEAD,  /* its header or key is: nobody can tell whose it was */
  JDG_GONE   /* its file is, or ends before it does */
} jdg_fate;

typedef struct verdict {
  /* Opening. */
  bool fails;           /* it must be refused, */
  freyja_status status; /* with this status, */
  const char *path;     /* about this file */

  jdg_fate fates[IMG_RECORDS_MAX];
  uint32_t kept;  /* records of the log: those behind are a torn tail */
  bool unknown;   /* keys that nobody can tell are damaged, */
  uint32_t doubt; /* and records before this one may have been replaced there */
  uint64_t cut;   /* bytes of the torn tail */
  bool damaged;   /* recovery must report damage, and first that */
  uint32_t first_file;
  uint64_t first_offset;       /* in this file at this offset; UINT64_MAX: any */
  bool changed[IMG_FILES_MAX]; /* the file is not as it was */
  bool unreadable;             /* by the disk, that is: faults may be IO */
  bool open;                   /* it was open already */
} verdict;

/* What reading a key may give: one of those that are set. */
typedef struct jdg_want {
  const img_record *value; /* OK, and the value of that record; NULL: not OK */
  bool absent;             /* NOTFOUND */
  bool corrupt;            /* CORRUPT, */
  const img_record *at;    /* naming the place of that record, unless NULL */
  bool key_known;          /* the key is there; only its value is not */
} jdg_want;

/* Judges a disk that was damaged before it is opened, */
void jdg_disk(const image *img, sim_disk *disk, bool readonly, verdict *v);

/* or while it is open: then it is known where each record lies, but what lies at one's place
 * is not known to be another key's if keys collide. */
void jdg_open_disk(const image *img, sim_disk *disk, verdict *v);

jdg_want jdg_key(const image *img, const verdict *v, uint32_t key);

#endif
