/* replay.c - runs a target over every file of a folder, without a fuzzer: any compiler will
 * do.
 *
 *   fuzz_TARGET FOLDER...    or files
 *
 * A child process does it, so that what kills it can be laid at the door of an input. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "target.h"

/* What the child does just now, for its parent to see. */
typedef struct progress {
  long inputs; /* that were run to their end */
  char path[1024];
} progress;

static progress *shared;

static void run_file(const char *path) {
  struct stat st;
  (void)snprintf(shared->path, sizeof shared->path, "%s", path);
  FILE *file = fopen(path, "rb");
  if (file == NULL || fstat(fileno(file), &st) != 0) {
    perror(path);
    exit(2);
  }
  size_t size = (size_t)st.st_size;
  uint8_t *bytes = malloc(size + (size == 0)); /* its own block: its end is guarded */
  if (bytes == NULL || fread(bytes, 1, size, file) != size) exit(2);
  (void)fclose(file);
  (void)LLVMFuzzerTestOneInput(bytes, size);
  free(bytes);
  shared->inputs++;
}

static void run_path(const char *path) {
  struct dirent **names = NULL;
  int count = scandir(path, &names, NULL, alphasort);
  if (count < 0) {
    run_file(path);
    return;
  }
  for (int i = 0; i < count; i++) {
    char inner[1024];
    (void)snprintf(inner, sizeof inner, "%s/%s", path, names[i]->d_name);
    if (names[i]->d_name[0] != '.') run_file(inner);
    free(names[i]);
  }
  free(names);
}

int main(int count, char **arguments) {
  int status = 0;
  shared =
      mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return 2;
  pid_t child = fork();
  if (child == 0) {
    for (int i = 1; i < count; i++) run_path(arguments[i]);
    exit(0);
  }
  if (child < 0 || waitpid(child, &status, 0) != child) return 2;
  if (status == 0 && shared->inputs > 0) {
    printf("ok fuzz %s: %ld inputs\n", fuzz_target, shared->inputs);
    return 0;
  }
  printf("not ok fuzz %s: status %d after %ld inputs, at %s\n", fuzz_target, status,
         shared->inputs, shared->path);
  return 1;
}
