/* behind.c - see behind.h. */
#include "behind.h"

#include <assert.h>
#include <string.h>

#include "thread.h"

struct fj_behind {
  const fj_os *os;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed; /* one waits: the thread for a block, or its owner for the thread */
  fj_segment *segment;    /* to which `block` is to be written; NULL: it is */
  const uint8_t *block;
  size_t size;
  freyja_status status; /* of the last one */
  freyja_error error;
  bool ends;
};

static void *run(void *argument) {
  fj_behind *behind = argument;
  (void)pthread_mutex_lock(&behind->lock);
  while (!behind->ends) {
    if (behind->segment == NULL) {
      (void)pthread_cond_wait(&behind->changed, &behind->lock);
      continue;
    }
    (void)pthread_mutex_unlock(&behind->lock);
    behind->status =
        fj_segment_append_block(behind->segment, behind->block, behind->size, &behind->error);
    (void)pthread_mutex_lock(&behind->lock);
    behind->segment = NULL;
    (void)pthread_cond_signal(&behind->changed);
  }
  (void)pthread_mutex_unlock(&behind->lock);
  return argument;
}

fj_behind *fj_behind_begin(const fj_os *os) {
  fj_behind *behind = os->allocate(os->context, sizeof *behind);
  if (behind == NULL) return NULL;
  memset(behind, 0, sizeof *behind);
  behind->os = os;
  bool locks = pthread_mutex_init(&behind->lock, NULL) == 0;
  bool both = locks && pthread_cond_init(&behind->changed, NULL) == 0;
  if (both && fj_thread_begin(&behind->thread, run, behind)) return behind;
  if (both) (void)pthread_cond_destroy(&behind->changed);
  if (locks) (void)pthread_mutex_destroy(&behind->lock);
  os->release(os->context, behind);
  return NULL;
}

void fj_behind_hand(fj_behind *behind, fj_segment *segment, const uint8_t *block,
                    size_t size) {
  (void)pthread_mutex_lock(&behind->lock);
  assert(behind->segment == NULL && behind->status == FREYJA_OK);
  behind->segment = segment;
  behind->block = block;
  behind->size = size;
  (void)pthread_cond_signal(&behind->changed);
  (void)pthread_mutex_unlock(&behind->lock);
}

freyja_status fj_behind_wait(fj_behind *behind, freyja_error *error) {
  (void)pthread_mutex_lock(&behind->lock);
  while (behind->segment != NULL) (void)pthread_cond_wait(&behind->changed, &behind->lock);
  freyja_status status = behind->status;
  behind->status = FREYJA_OK;
  (void)pthread_mutex_unlock(&behind->lock);
  if (status != FREYJA_OK && error != NULL) *error = behind->error;
  return status;
}

void fj_behind_end(fj_behind *behind, bool here) {
  if (behind == NULL) return;
  const fj_os *os = behind->os;
  if (here) {
    (void)pthread_mutex_lock(&behind->lock);
    behind->ends = true;
    (void)pthread_cond_signal(&behind->changed);
    (void)pthread_mutex_unlock(&behind->lock);
    (void)pthread_join(behind->thread, NULL);
    (void)pthread_cond_destroy(&behind->changed);
    (void)pthread_mutex_destroy(&behind->lock);
  }
  os->release(os->context, behind);
}
