---@meta freyja
--- Annotations of the whole API for LuaLS and for readers; empty at run time.
--- Units: sizes in bytes, timestamps in microseconds since the epoch.

--- Where no more is said: further arguments are ignored; a wrong argument raises a string as Lua's
--- library does; any call of a store raises freyja.Error `closed` after its close; and in a forked child
--- `forked`, but for close, stats, segments, #db, count without a prefix, and iterators begun before.

---@alias freyja.Code
---| "io"|"corrupt"|"full"|"locked"|"readonly"|"poisoned"
---| "forked"|"closed"|"conflict"|"limit"|"memory"|"format"

---@class freyja.Error  raised by faults; tostring() gives "freyja: code: message (path)"
---@field code freyja.Code
---@field message string  one sentence, without the path
---@field path? string    the file or directory it is about; nil where there is none
---@field errno? integer  of the system call that failed; nil where none did

---@class freyja.Options  sync, segment_size, io: where this process has the store open, as it has them
---@field readonly? boolean              false; changes nothing, excludes a writer meanwhile
---@field create? boolean                true; make the store, and the last folder of the path, if missing
---@field sync? "none"|"always"|integer  1000; milliseconds: 1 to 86,400,000
---@field segment_size? integer          256 MiB; 4 KiB to 2 GiB
---@field io? "mmap"|"syscall"           "mmap"; a bad disk, or a file that others shorten, is then a signal
---@field maintenance? "auto"|"background"|"manual"  "auto"; merges, a step after each MiB written; a thread; or none
---                                      but by store:maintain
---@field policy? string|freyja.Policy|fun(segments: freyja.Segment[], settings: table): freyja.Group[]  "dead_ratio"
---@field policy_settings? table         {}; for the policy
---@field rate? number                   none; bytes a second that it reads and copies by itself at most
---@field on_error? fun(err: any)        none; called by the next call when maintenance by itself has failed: what
---                                      it raises that call raises, and has done nothing
---@field hash_bits? integer             64; 1 to 64, kept from creation on; fewer only to test collisions

---@class freyja.WriteOptions
---@field ttl? number  seconds until the value expires, more than 0; without it, it never does

---@class freyja.EachOptions
---@field prefix? string       only keys that begin so
---@field order? "log"|"key"   "log"; "key" sorts bytewise first: memory for all keys that match

---@class freyja.Recovery  what the open found and did; it does not change afterwards
---@field records integer        valid records read in data files, tombstones included
---@field bytes_cut integer      torn bytes at the log's end, moved to lost/; read-only: found, not cut
---@field files_scanned integer  data files that were read
---@field hints_used integer     hint files that were read in their place
---@field hints_ignored integer  hint files that do not fit, or are damaged: their data files were read
---@field damaged integer        spans that fail verification, left in place; not what was damaged since the open
---@field milliseconds number    that the open took
---@field damage? freyja.Error   the first of them; nil if there are none
---@field hint? freyja.Error     the first hint file that was ignored, and why; nil if there are none
---@field checkpoint_used boolean  the KEYDIR was: what it covers was not read
---@field checkpoint? freyja.Error  why it was ignored, or found to be damaged since; nil if there is no reason

---@class freyja.Stats
---@field keys integer
---@field segments integer      data files
---@field bytes integer         of headers and records, without what is reserved
---@field live_bytes integer    of the records that keys point to
---@field dead_bytes integer
---@field pending_bytes integer of files that merges have replaced and that iterators still read
---@field index_bytes integer   memory of the key directory
---@field generation integer    grows with each rotation
---@field puts integer          records written since the open
---@field deletes integer       tombstones written since the open
---@field syncs integer         since the open
---@field iterators integer     open now
---@field poisoned boolean      writes are refused until it is reopened
---@field readonly boolean
---@field io "mmap"|"syscall"
---@field sync "none"|"always"|integer
---@field segment_size integer
---@field store_id string       32 hex digits
---@field recovery freyja.Recovery
---@field maintenance? freyja.Maintenance  nil when opened read-only

---@class freyja.Maintenance  what it has done by itself since the open
---@field mode "auto"|"background"|"manual"
---@field policy string         its name
---@field running boolean       something is under way
---@field merges integer
---@field read integer          bytes, by merges
---@field written integer       bytes, by merges
---@field pending_bytes integer to be read by what is under way before space comes back, as far as it is known
---@field failures integer      errors, and merges that gained nothing, in a row: it waits the longer
---@field error? any            the last error of the policy or its hook; nil since a merge that gained something

---@class freyja.Segment
---@field id integer          of the file `id`.data
---@field rank integer        0 is the oldest
---@field bytes integer       header and records
---@field live_bytes integer  of the records that keys point to; of those above 4 KiB within 0.4 % of their size
---@field dead_bytes integer  of the others: bytes less live_bytes and the header's 128, so it is not exact either
---@field keys integer        put records
---@field live_keys integer   those that a key points to
---@field tombstones integer
---@field oldest integer      timestamps of its records; 0 if it has none
---@field newest integer
---@field expires? integer    when the first of its put records expires, or has; nil: none does
---@field began? integer      the newest timestamp in the store when the merge or load began that made it: deletions to
---                           then hide nothing in it; nil: it is as it was written
---@field sealed boolean      false for the one being written
---@field damaged boolean     some of its bytes fail verification
---@field merged boolean      made as a whole, by a merge or a bulk load
---@field has_hint boolean    the open has used its hint file, or one was written since

---@class freyja.BackupOptions
---@field links? boolean  true: sealed data files become hard links where that is possible

---@class freyja.Problem  something that is not as it should be
---@field path string     the file, or the store's folder
---@field offset integer  of the first byte that it is about
---@field size integer    bytes; 0: the file or the folder as a whole
---@field message string
---@field key? string     whose record it is, where that is known
---@field lost? boolean   repair: the key is not in the new store because of it

---@class freyja.Report
---@field ok boolean             there are no problems
---@field files integer          data files that were read
---@field records integer        whole ones in them, tombstones included
---@field bytes integer          that were read of them
---@field keys integer           of the store; repair: of the new one
---@field torn_bytes integer     behind the log's end: what a crash leaves, no problem
---@field problem_count integer
---@field problems freyja.Problem[]  the first 100,000 of them
---@field torn_records? integer   repair: whole ones behind the log's end, not used
---@field lost_keys? integer      repair: their newest value is damaged; not written
---@field doubtful_keys? integer  repair: written, but a newer value or deletion may have been in damaged bytes

---@class freyja.RepairOptions
---@field to string  the new store's directory, which must not exist or be empty

---@class freyja.Store
local store = {}

---Sets a value. Raises: limit, full, io, readonly, poisoned, forked, closed, memory, corrupt.
---@param key string    0 to 65,535 bytes
---@param value string  with the key and 24 bytes (with a ttl 32), rounded up to 8, it must fit a segment
---@param options? freyja.WriteOptions
function store:put(key, value, options) end

---@param key string
---@return string? value  nil: the key is proven absent, or longer than any key may be
function store:get(key) end

---@param key string
---@return boolean deleted  false if it was not there
function store:delete(key) end

---@param key string
---@return boolean  false: as get's nil
function store:has(key) end

---@param key string
---@param value string
---@param options? freyja.WriteOptions
---@return boolean inserted  false, and nothing written, if the key is there
function store:insert(key, value, options) end

---Compare and swap; nil stands for an absent key on either side.
---@param key string
---@param expected string?
---@param new string?
---@param options? freyja.WriteOptions  for the new value
---@return boolean swapped  false, and nothing written, if the value is not as expected
function store:cas(key, expected, new, options) end

---@param key string
---@return number|false|nil seconds  until the value expires; false: it never does; nil: as get's
function store:ttl(key) end

---Calls fn with a transaction, which is committed when it returns and rolled back when it raises; a
---function that has ended it itself leaves nothing to do. Raises what fn raises, and as tx:commit.
---@param fn fun(tx: freyja.Transaction): ...
---@param options? freyja.TransactionOptions
---@return ...  what fn returns
function store:transaction(fn, options) end

---Begins a transaction: to be committed, or closed.
---@param options? {serializable?: boolean}
---@return freyja.Transaction
function store:begin(options) end

---Puts all that a generic for over the same arguments would give, faster than one by one. All of it is
---there, and durable, when this returns; if anything raises, nothing has happened. Until then other writes raise
---`conflict`. Of several values of one key the last counts. Raises as put, and conflict.
---@param f fun(state: any, key: string?): string?, string?, freyja.WriteOptions?
---@param state? any
---@param first? string
---@param closing? any  closed in the end
---@return integer count
function store:load(f, state, first, closing) end

---@param keys string[]
---@return table<string, string> values  absent keys are absent; all as of one moment
function store:get_many(keys) end

---For a generic for: the store as it is now, whatever is written meanwhile. The function that it
---returns wants the iterator as its argument; behind the end it gives nil. After an error the next
---call goes on behind what it was about: a value that fails its checksum, a file that cannot be read; that
---damage may hide entries is raised once in place of the end, as is `closed`.
---@param options? string|freyja.EachOptions  a prefix, or options
---@return fun(iterator: userdata): string?, string?
---@return userdata iterator
---@return nil
---@return userdata closing  the iterator
function store:each(options) end

---As each, with the keys only.
---@param options? string|freyja.EachOptions
function store:keys(options) end

---@param prefix? string
---@return integer
function store:count(prefix) end

---Makes everything written so far durable.
function store:sync() end

---Seals the data file being written and begins another.
function store:rotate() end

---Of a store that was opened with `readonly`: shows what a writer in this process or another has written since, all
---that it had committed at some moment. Time in proportion to that. Of others does nothing. Iterators go on as they
---were; with `io = "syscall"`, and where damage is met, they may raise `closed`. Raises io, memory, limit, corrupt,
---format, forked, closed, conflict (the writer is too fast); then reading may raise the same until another refresh
---succeeds.
---@return boolean changed  whether there was anything
function store:refresh() end

---Syncs, and writes the index to the file KEYDIR, which the next open takes over in constant time. Time in
---proportion to the keys, and 20 to 25 bytes of disk for each. Raises, changing nothing: corrupt (a data file is
---damaged), limit (very many segments were merged since the open), io, full, readonly, poisoned, forked, closed,
---memory.
function store:checkpoint() end

---Writes the hint file of a sealed data file, anew if there is one, so that the next open need not read the
---data file. Takes at most 16 MiB of memory, and with io = "syscall" the largest record of it.
---Raises, changing nothing: limit (no such segment, or not sealed), corrupt (the data file is damaged), io,
---full, readonly, poisoned, forked, closed, memory.
---@param id integer  of a segment
---@param options? freyja.HintOptions
function store:hint(id, options) end

---@return freyja.Stats
function store:stats() end

---@return freyja.Segment[]  oldest first
function store:segments() end

---Checks all that can be checked, writing nothing; goes on behind each problem.
---Raises: forked, closed, memory; conflict (read-only, beside a writer, who can do it).
---@return freyja.Report
function store:verify() end

---Makes `path`, which must not exist or be empty, a store that holds what this one holds now. One
---that was interrupted leaves a folder without a MANIFEST, to be deleted.
---Raises, leaving nothing: io, full, limit (within the store), corrupt, poisoned, forked, closed, memory;
---conflict (read-only, beside a writer, who can do it).
---@param path string
---@param options? freyja.BackupOptions
function store:backup(path, options) end

---Begins to copy what is live of some sealed segments to new ones, which take their place. Until it
---is committed nothing has happened. One at a time; the store may be used meanwhile.
---Raises: limit (an id that is unknown, stands twice, or is of the segment being written), conflict
---(another rewrite is open and not committed), corrupt (damage would be lost with the old files), readonly, poisoned,
---forked, closed, memory.
---@param ids integer[]  of segments, in any order
---@return freyja.Rewrite rewrite  to be closed
function store:rewrite(ids) end

---@class freyja.HintOptions
---@field progress? fun(done: integer, bytes: integer)  after each step; an error in it ends the work
---@field step? integer  4 MiB; bytes
---@field rate? number   none; bytes a second at most: it sleeps between steps

---@class freyja.MergeOptions: freyja.HintOptions
---@field filter? fun(record: freyja.Record): boolean?  whether it is kept, with the value that it has then; a record
---  that is not kept is deleted

---Rewrites segments as a whole. Raises as rewrite does.
---@param ids integer[]  of sealed segments, in any order
---@param options? freyja.MergeOptions
---@return freyja.Progress
function store:merge(ids, options) end

---@class freyja.Group
---@field ids integer[]
---@field reason? string
---@field filter? fun(record: freyja.Record): boolean?  as that of merge
---@field divisible? boolean  a part of it may be merged, its first segments, if all would take too much space at once

---@class freyja.Policy  a module under freyja.policy, or one's own
---@field name? string
---@field plan? fun(segments: freyja.Segment[], settings: table): freyja.Group[]
---@field merge? fun(db: freyja.Store, settings: table)  the script that does it; without it the plan is merged
---@field defaults? table  its settings: names and types of those that are given are then checked
---@field optional? table<string, string>  types of the settings without a default; "any": all
---@field hint? false|fun(db: freyja.Store, event: "seal"|"merge"|"idle"|"close", segment?: freyja.Segment)  without
---  it, hint files are written; "seal" and "merge" are told once of each segment without one

---Merges what a policy asks for, once; writes hint files, or what the policy's hook does in place of it.
---@param policy? string|freyja.Policy|function  that of freyja.open; a module's name, a table, or a plan
---@param settings? table  for it
---@param options? {rate?: number}  bytes a second at most
---@return {merges: integer, read: integer, written: integer}
function store:maintain(policy, settings, options) end

---Syncs and releases everything; a second time does nothing.
function store:close() end

---@class freyja.TransactionOptions
---@field serializable? boolean  false: read committed; true: `conflict` if what it has read has changed
---@field retries? integer       0; how often fn is called again when the commit meets a conflict

---@class freyja.Transaction  as the store's methods, with its own writes; raises `closed` once it has ended
local transaction = {}

---@param key string
---@return string?
function transaction:get(key) end

---@param key string
---@return boolean
function transaction:has(key) end

---As store:put; raises limit if what is to be committed would not fit one segment.
---@param key string
---@param value string
---@param options? freyja.WriteOptions  the ttl counts from the commit
function transaction:put(key, value, options) end

---@param key string
---@return boolean deleted  false if it was not there
function transaction:delete(key) end

---As store:each: the store and the transaction's own writes as they are now. Goes on when it ends.
---@param options? string|freyja.EachOptions
function transaction:each(options) end

---@param options? string|freyja.EachOptions
function transaction:keys(options) end

---Makes all of it visible at once, and under sync = "always" durable. Raises, changing nothing, the
---transaction being open still: conflict, and as store:put.
function transaction:commit() end

---Nothing has happened. Also at the end of its scope, and by the collector; a second time does nothing.
function transaction:rollback() end

---@return boolean  false once it was committed or rolled back
function transaction:is_open() end

---@class freyja.Record  of a key that is there; deletions are not a script's business
---@field key string
---@field value string       may be replaced before the record is kept; whatever else is changed is ignored
---@field timestamp integer  when it was written: microseconds since the epoch; stays as it is
---@field expires? integer   when it expires, likewise; nil: never

---@class freyja.Progress
---@field bytes integer    of the records in the segments
---@field done integer     of those, how many were read
---@field written integer  bytes of the copies
---@field outputs integer  segments that they are in

---@class freyja.Rewrite
local rewrite = {}

---Does a part of the work. Raises: corrupt, io, full, memory, closed, and those of store:put; before
---the commit that ends the rewrite, and nothing has happened.
---@param bytes? integer  to read; 4 MiB
---@return boolean more  false when all is copied; after the commit, when all is done
function rewrite:step(bytes) end

---Another rewrite may take its place: until it is committed nothing has happened, and its calls raise closed.
function rewrite:give_way() end

---In place of step: for a generic for. A record that is neither kept nor dropped is kept.
---@return fun(rewrite: freyja.Rewrite): freyja.Record?
---@return freyja.Rewrite
function rewrite:records() end

---Copies it with the value that it has now. Raises limit if that is longer and does not fit a segment:
---then it can still be kept or dropped.
---@param record freyja.Record  the last that records gave
function rewrite:keep(record) end

---Deletes its key, unless it is written again meanwhile.
---@param record freyja.Record  the last that records gave
function rewrite:drop(record) end

---Copies what is left and puts the new segments in place of the old ones, durably. What then remains
---is done by step, or by close.
function rewrite:commit() end

---@return freyja.Progress
function rewrite:progress() end

---What is not committed has not happened; of what is, the rest is done. Also at the end of its scope, and
---by the collector.
function rewrite:close() end

---@class freyja
---@field version string
local freyja = {}

---Opens the store in a folder, which may be any.
---@param path? string  "freyja.db"
---@param options? freyja.Options
---@return freyja.Store?
---@return freyja.Error?
function freyja.open(path, options) end

---Writes all that is whole of a damaged store to a new one; changes nothing in the damaged one.
---Raises, leaving nothing: io, corrupt, format, locked, full, limit (within the store), memory.
---@param path string
---@param options freyja.RepairOptions
---@return freyja.Report
function freyja.repair(path, options) end

return {}
