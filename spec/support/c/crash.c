/* crash.c - power fails after every change that the engine makes to its disk, and each
 * disk that this may leave is opened.
 *
 *   crash                       a fixed set, in seconds
 *   crash --all [SHARE [PART [DAYS DAY]]]
 *                               every workload of up to four operations, three in modes with
 *                               larger records, and the written ones; with a SHARE kills at
 *                               every so many moments only, with a PART recovery is
 *                               interrupted so many times less often; in DAYS days all
 *                               workloads of three and four, and the written ones, have their
 * turn crash MODE WORKLOAD [SEED]  one, as a failure prints it
 *
 * A workload is a string of operations: p put, o overwrite, d delete, s sync, r rotate,
 * c close and open again, k be killed and open again, v be killed, look read-only, open
 * again, l put a large value, t put a value over another one that expires at once, T one that
 * expires late, i insert, x compare and swap, b back up, by links, B by copies,
 * 1 2 3 a sync fails and its pages stay dirty, are taken for clean, are dropped; then close
 * and open again; h write the hint files of all sealed segments; m merge all sealed segments,
 * M every other one; n commit a transaction, N one with a large value; a load several keys, A
 * a large one too; 4 the sync of the directory fails with which a rotation ends, and the new
 * entry is taken for clean; then close and open again; 5 merge all sealed segments, and the
 * sync fails with which that ends, likewise; 6 7 the first such sync fails in a rotation, in a
 * merge, likewise; K write the KEYDIR.
 *
 * At each moment a number of writes were acknowledged, and some of them were promised to
 * survive a loss of power (what was written under sync = "always", or before a sync, a
 * rotation or a close that returned). A disk is right if it opens without a fault or damage
 * and holds the state after k writes, for a k that is not less than the promised ones, and
 * not more than those begun; for the disk that a killed process leaves, not less than the
 * acknowledged ones.
 *
 * From some of the disks recovery itself is interrupted: after each of its changes, on each
 * disk that this may leave, the same state must come. Then a write follows and power
 * fails again.
 *
 * crash/operations.c runs a workload, crash/power.c looks at the disks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash/run.h"

#define LARGE_SAMPLE 4  /* disks at a moment, where files are large */
#define LARGE_SAMPLES 8 /* of all of them, each other disks, for --all */

/* Without --all: of the written workloads one of so many is run, and the others of so many
 * operations in two modes. In builds that are slow, which are there for what their checks
 * find, fewer. */
#ifdef NDEBUG
#define STEP 2
#define LONGEST 2
#elif defined __SANITIZE_ADDRESS__
#define STEP 32
#define LONGEST 1
#define EVERY 3 /* of the modes */
#else
#define STEP 8
#define LONGEST 2
#endif

#ifndef EVERY
#define EVERY 1
#endif

static const char operations[] = "podsrclkt";
#define BASIC 7u /* of them are in workloads of four */

static const mode modes[] = {
    {"mmap-none", FREYJA_IO_MMAP, FREYJA_SYNC_NONE, false, 64, 4096, 1500, 0},
    {"mmap-always", FREYJA_IO_MMAP, FREYJA_SYNC_ALWAYS, false, 64, 4096, 1500, 0},
    {"syscall-none", FREYJA_IO_SYSCALL, FREYJA_SYNC_NONE, false, 64, 4096, 1500, 0},
    {"syscall-always", FREYJA_IO_SYSCALL, FREYJA_SYNC_ALWAYS, false, 64, 4096, 1500, 0},
    {"mmap-interval", FREYJA_IO_MMAP, FREYJA_SYNC_INTERVAL, false, 64, 4096, 1500, 0},
    {"syscall-interval", FREYJA_IO_SYSCALL, FREYJA_SYNC_INTERVAL, false, 64, 4096, 1500, 0},
    {"unreserved-none", FREYJA_IO_MMAP, FREYJA_SYNC_NONE, true, 64, 4096, 1500, 0},
    {"unreserved-always", FREYJA_IO_MMAP, FREYJA_SYNC_ALWAYS, true, 1, 4096, 1500, 0},
    {"pages-none", FREYJA_IO_MMAP, FREYJA_SYNC_NONE, false, 64, 20000, 6000, 0},
    {"pages-always", FREYJA_IO_SYSCALL, FREYJA_SYNC_ALWAYS, false, 64, 20000, 6000, 0},
    {"large-none", FREYJA_IO_MMAP, FREYJA_SYNC_NONE, false, 64, 1 << 20, 300000, LARGE_SAMPLE},
    {"large-interval", FREYJA_IO_SYSCALL, FREYJA_SYNC_INTERVAL, false, 64, 1 << 20, 300000,
     LARGE_SAMPLE},
};
#define MODES (sizeof modes / sizeof *modes)

static const char *const written[] = {
    "pppppp",       "oooooo",       "pdpdpd",       "podpod",       "lllll",
    "llllll",       "pllopll",      "plsldls",      "prprpr",       "orordr",
    "psrcps",       "rprprp",       "cpcpcp",       "pcdcpc",       "pocdoc",
    "lcllcl",       "ppsppsdd",     "ssspsss",      "pslrocds",     "lrlrlrlr",
    "dpdpdpdp",     "odododod",     "ppppcpppp",    "poclrsdp",     "llsllsll",
    "lolololo",     "oooolooool",   "iixxii",       "ixdixdix",     "xixrxixc",
    "pixspixs",     "lxlxlxlx",     "pppppppppppp", "oooooooooooo", "podspodspods",
    "lllllllllll",  "prsprsprsprs", "cdcpcdcpcdcp", "lodclodclodc", "srcpsrclsrco",
    "plplplplplpl", "poprpdpspcpl", "pkpkpk",       "lkdkok",       "lklklklk",
    "pokdslkrcpkp", "pvpvpv",       "lvlodvlv",     "povkpvco",     "pbob",
    "plrbpB",       "Bpb",          "llbllB",       "prdbrpBk",     "ps12pc",
    "psp1p2p3p",    "oso2o3odkp",   "lsl2lkl3l",    "prp2rp3s",     "p4pko",
    "pl4c4pv4p",    "prm",          "prdrm",        "podrprM",      "prordrMc",
    "llrolrmk",     "prprdrMdrm",   "pdrpdrMcom",   "prmrmvMc",     "prpmd1rm2o",
    "prorMbodrmB",  "lrlrdM4pm4k",  "prom",         "ptptpt",       "tttttt",
    "potdotd",      "ptrtrpcr",     "ptkptkt",      "ltltlt",       "pTTdToTc",
    "oTotcTko",     "ptbtrB",       "ptsts1tcp2t",  "pvtvTvt",      "pttitxtx",
    "prtrm",        "prtrprMc",     "ptrTrMtrmk",   "oTrtrpmtrMc",  "prh",
    "prordrhpch",   "lrlhrhkdhrk",  "prdrhprMhc",   "podrhpbrhB",   "prhorhdv1rh2",
    "pK",           "pKoKdK",       "prKdrmK",      "prdrKmcok",    "poKdrprMkK",
    "pTKtdKkc",     "pKs1Kps2pKc",  "prhKorMvK",    "lrlKlrmKkl",   "pK4pKko",
    "nnn",          "pnodn",        "nsnkn",        "NrNcN",        "nrnrnmMn",
    "nKnkn",        "NhrhN",        "nvnbN",        "n1n2n3n",      "tntTn",
    "NlNsNk",       "NNNN",         "ncnknc",       "pNkpNk",       "a",
    "paop",         "aaa",          "prapra",       "akakpa",       "AlAlA",
    "pKaKak",       "narna",        "oramaMc",      "ta1a2da3a",    "avabhakBa",
    "pa4ak",        "prprp5ps",     "prdr5pko",     "prprpm6rprp",  "prdrp7pmrk",
    "prap6arpk"};

/* For files that are read, copied and written again in pieces of 64 and 256 KiB: what a failed
 * sync left, torn tails, backups. */
static const char *const large_written[] = {"ll2ps", "plpBlB", "llk3lrB", "lplll1s2", "pNNkN"};

/* ---- sets of workloads ------------------------------------------------ */

static long days = 1, day; /* of those many each has its own workloads */

/* Whether it is the next workload's day. */
static bool is_due(void) {
  static long workloads;
  return (workloads++ + day) % days == 0;
}

/* All workloads of `length` operations. */
static bool run_all(const mode *m, size_t length, uint64_t seed) {
  char workload[8] = "";
  size_t digits[8] = {0};
  size_t base = length < 4 ? sizeof operations - 1 : BASIC;
  for (;;) {
    for (size_t i = 0; i < length; i++) workload[i] = operations[digits[i]];
    workload[length] = '\0';
    if ((length < 3 || is_due()) && !run_workload(m, workload, length, seed)) return false;
    size_t i = 0;
    while (i < length && ++digits[i] == base) digits[i++] = 0;
    if (i == length) return true;
  }
}

static bool run_written(const mode *m, size_t from, size_t step, uint64_t seed) {
  for (size_t i = from; i < sizeof written / sizeof *written; i += step)
    if (is_due() && !run_workload(m, written[i], 1, seed)) return false;
  return true;
}

/* ---- one process for each mode, as many at once as there are processors ---- */

static bool report(const mode *m, bool right) {
  if (right)
    printf("ok crash, %s: %ld disks at %ld moments; %ld at %ld moments of recovery\n", m->name,
           seen.disks, seen.moments, seen.nested, seen.nested_points);
  return right;
}

static bool run_large(const mode *m, uint64_t seed) {
  for (size_t i = 0; i < sizeof large_written / sizeof *large_written; i++)
    if (!run_workload(m, large_written[i], 1, seed)) return false;
  return true;
}

static bool run_mode(size_t i, bool all) {
  bool right = true;
  size_t samples = modes[i].sample == 0 ? 0 : all ? LARGE_SAMPLES : 1;
  for (size_t n = 0; right && n < samples; n++)
    right = run_large(&modes[i], 1 + i + n * MODES);
  if (samples > 0) return report(&modes[i], right);
  size_t most =
      modes[i].segment_size > FREYJA_SEGMENT_SIZE_MIN ? 3 : 4; /* as others, in pages */
  size_t longest = all ? most : i < 2 ? LONGEST : 1;
  for (size_t length = 0; right && length <= longest; length++)
    right = run_all(&modes[i], length, 1 + i);
  if (right && all) right = run_written(&modes[i], 0, 1, 1 + i);
  else if (right && i < 2) right = run_written(&modes[i], i, STEP, 1 + i);
  return report(&modes[i], right);
}

/* Waits for one child; whether it found nothing wrong. A child that dies has said nothing. */
static bool await(void) {
  int status = 0;
  if (wait(&status) < 0) return false;
  if (WIFSIGNALED(status)) printf("not ok crash: killed by signal %d\n", WTERMSIG(status));
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool run_modes(bool all) {
  bool right = true;
  long running = 0, most = sysconf(_SC_NPROCESSORS_ONLN);
  for (size_t i = 0; i < MODES; i += all ? 1 : EVERY, running++) {
    if (running >= most) {
      right = await() && right;
      running--;
    }
    (void)fflush(stdout);
    pid_t child = fork();
    if (child < 0) return false;
    if (child == 0) {
      right = run_mode(i, all);
      (void)fflush(stdout);
      exit(right ? 0 : 1);
    }
  }
  for (; running > 0; running--) right = await() && right;
  return right;
}

static const mode *find_mode(const char *name) {
  for (size_t i = 0; i < MODES; i++)
    if (strcmp(modes[i].name, name) == 0) return &modes[i];
  return NULL;
}

int main(int count, char **arguments) {
  bool all = count > 1 && strcmp(arguments[1], "--all") == 0;
  if (all && count > 2) kill_share = strtol(arguments[2], NULL, 10);
  if (all && count > 3) nested_share = strtol(arguments[3], NULL, 10);
  if (all && count > 5) {
    days = strtol(arguments[4], NULL, 10);
    day = strtol(arguments[5], NULL, 10);
  }
  if (kill_share < 1 || nested_share < 1 || days < 1 || day < 0) return 2;
  if (all || count < 3) return run_modes(all) ? 0 : 1;
  const mode *m = find_mode(arguments[1]);
  uint64_t seed = count > 3 ? strtoull(arguments[3], NULL, 10) : 1;
  if (m == NULL || strlen(arguments[2]) > OPERATIONS_MAX) return 2;
  return report(m, run_workload(m, arguments[2], 0, seed)) ? 0 : 1;
}
