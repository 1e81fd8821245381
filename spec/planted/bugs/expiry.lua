--- Bugs to plant in how values expire; see spec/planted/bugs.lua.

local in_file, bug = ...

-- The format -------------------------------------------------------------------------------------------

in_file "engine/record.h"

bug("an_expiry_has_no_sum", "expiry",
  [[if ((header[15] & FJ_FLAG_EXPIRES) != 0)
    return (uint32_t)fj_hash(header + 4, FJ_RECORD_PREFIX_MAX - 4, seed + key_hash);]], "")

bug("an_expiry_may_be_0", "forged",
  [[if ((record->flags & FJ_FLAG_EXPIRES) != 0 && fj_record_expiry(record) == 0) return false;]], "")

bug("a_tombstone_may_expire", "forged", [[flags = FJ_FLAG_COLLIDES | FJ_FLAG_MORE;]], "")

bug("a_value_lives_too_long_by_a_microsecond", "expiry",
  [[return (record->flags & FJ_FLAG_EXPIRES) != 0 && fj_record_expiry(record) <= now;]],
  [[return (record->flags & FJ_FLAG_EXPIRES) != 0 && fj_record_expiry(record) < now;]])

-- Time ---------------------------------------------------------------------------------------------------

in_file "engine/clock.c"

bug("time_goes_back", "expiry", [[uint64_t time = raise_to(&clock->time, add(lead, passed));]],
  [[uint64_t time = clock->time = lead == 0 ? add(lead, passed) : wall;]])

bug("time_stands_still_behind_a_jump", "expiry", [[uint64_t time = raise_to(&clock->time, add(lead, passed));]],
  [[uint64_t time = raise_to(&clock->time, lead == 0 ? add(lead, passed) : wall);]])

bug("time_does_not_jump", "expiry", [[uint64_t lead = raise_to(&clock->lead, wall > passed ? wall - passed : 0);]],
  [[uint64_t lead = clock->lead;]])

in_file "engine/bootstrap.c"

bug("a_store_forgets_its_time", "expiry",
  [[fj_clock_raise(&db->index.clock, db->index.last_timestamp);]], "")

-- What has expired -----------------------------------------------------------------------------------------

in_file "engine/read.c"

bug("what_has_expired_can_be_read", "expiry",
  [[if (status == FREYJA_OK && fj_index_is_due(&db->index, found)) return FREYJA_NOTFOUND;]], "")

in_file "engine/write.c"

bug("what_has_expired_can_be_deleted", "expiry",
  [[if (status == FREYJA_OK && fj_index_is_due(&db->index, &found)) status = FREYJA_NOTFOUND;]], "")

bug("what_has_expired_is_in_the_way", "expiry",
  [[if (is_new || (status == FREYJA_OK && fj_index_is_due(&db->index, &found)))]], [[if (is_new)]])

bug("a_slot_is_not_flagged", "expiry",
  [[uint64_t word = fj_word_make(active->slot, offset, size, draft->flags);]],
  [[uint64_t word = fj_word_make(active->slot, offset, size, draft->flags & FJ_FLAG_COLLIDES);]])

bug("nobody_expects_an_expiry", "expiry", [[fj_index_expect(&db->index, draft->expiry);]], "")

in_file "engine/batch.c"

bug("what_has_expired_replaces_nothing", "expiry",
  [[bool gone = record->kind == FJ_KIND_TOMBSTONE || is_over(index, record);]],
  [[bool gone = record->kind == FJ_KIND_TOMBSTONE;
  if (is_over(index, record)) return FREYJA_OK;]])

in_file "engine/index.c"

bug("a_damaged_expiry_is_believed", "expiry", [[return fj_index_examine(index, found, 0, error);]],
  [[bool possible = false;
  return fj_index_fetch(index, found, 0, false, &possible, error);]], "fj_index_look(")

in_file "engine/expire.c"

bug("iterators_are_not_told_of_what_expires", "expiry",
  [[fj_iterators_note(&db->iterators, found.segment, found.offset, found.record.timestamp);]], "")

bug("what_expires_later_is_not_expected", "expiry", [[index->soonest = sweep.soonest;]],
  [[index->soonest = UINT64_MAX;]])

bug("a_slot_behind_one_that_goes_is_passed", "expiry",
  [[fj_index_delete(&db->index, place); /* the next one may have moved here */
    else slot++;]],
  [[fj_index_delete(&db->index, place);
    slot++;]])

in_file "engine/iterator.c"

bug("an_iterator_goes_by_the_clock", "expiry",
  [[if (record->kind != FJ_KIND_PUT || fj_record_is_due(record, it->time)) return FREYJA_OK;]],
  [[uint64_t now = fj_clock_now(&it->index->clock);
  if (record->kind != FJ_KIND_PUT || fj_record_is_due(record, now)) return FREYJA_OK;]])

bug("an_iterator_shows_what_has_expired", "expiry",
  [[it->time = fj_clock_now(&index->clock);]], [[it->time = 0;]])

in_file "engine/read.c"

bug("get_many_is_of_many_moments", "luastate", [[db->index.moment = fj_clock_now(&db->index.clock);]], "")

in_file "engine/lua/change.c"

bug("a_ttl_is_rounded_down", "luastate", [[return whole + ((lua_Number)whole < micro);]], [[return whole;]])

in_file "engine/repair.c"

bug("a_repair_forgets_the_expiry", "expiry",
  [[return fj_builder_put(&r->builder, key, value, record->timestamp, fj_record_expiry(record),
                        error);]],
  [[return fj_builder_put(&r->builder, key, value, record->timestamp, 0, error);]])

in_file "engine/audit.c"

bug("verify_misses_what_has_expired", "expiry",
  [[if (record->kind == FJ_KIND_TOMBSTONE || fj_record_is_due(record, audit->time)) {]],
  [[if (record->kind == FJ_KIND_TOMBSTONE) {]])
