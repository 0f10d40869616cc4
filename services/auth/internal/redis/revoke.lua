-- Ends a family for ever. KEYS[1] its hash, ARGV 1 client's digest or "" for any, 2 reason,
-- 3 how long (ms) to remember one that is not here, 4 client's name.
-- Answers 1 if it ended it now, 0 if there was nothing to end.
local v = redis.call('HMGET', KEYS[1], 'C', 'r', 'p')
local owner = v[3] or v[1] -- p is of the release before: see use.lua
if v[2] then return 0 end
if not owner then
  -- Flushed or failed over. A replica that has just read the record as alive may be
  -- about to put the family back: it must find that it has ended.
  if ARGV[1] == '' then
    redis.call('HSET', KEYS[1], 'r', ARGV[2])
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
  end
  return 0
end
if ARGV[1] ~= '' and ARGV[1] ~= owner and ARGV[4] ~= owner then return 0 end
redis.call('HSET', KEYS[1], 'r', ARGV[2])
return 1
