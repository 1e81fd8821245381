/* transaction.h - several writes as one: the transactions of freyja.h, the calls of that name.
 */
#ifndef FJ_TRANSACTION_H
#define FJ_TRANSACTION_H

#include "store.h"

freyja_status fj_transaction_begin(fj_store *db, const freyja_transaction_options *options,
                                   freyja_transaction **out, freyja_error *error);
freyja_status fj_transaction_get(freyja_transaction *transaction, const void *key,
                                 size_t key_size, void *buffer, size_t capacity,
                                 size_t *value_size, freyja_error *error);
freyja_status fj_transaction_has(freyja_transaction *transaction, const void *key,
                                 size_t key_size, freyja_error *error);
freyja_status fj_transaction_iterate(freyja_transaction *transaction,
                                     const freyja_iterator_options *options,
                                     freyja_iterator **out, freyja_error *error);
freyja_status fj_transaction_put(freyja_transaction *transaction, const void *key,
                                 size_t key_size, const void *value, size_t value_size,
                                 uint64_t ttl, freyja_error *error);
freyja_status fj_transaction_delete(freyja_transaction *transaction, const void *key,
                                    size_t key_size, freyja_error *error);
freyja_status fj_transaction_commit(freyja_transaction *transaction, freyja_error *error);
void fj_transaction_close(freyja_transaction *transaction);

#endif
