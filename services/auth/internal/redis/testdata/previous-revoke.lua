-- Ends a family for ever. KEYS[1] its hash, ARGV 1 client or "" for any, 2 reason,
-- 3 how long (ms) to remember one that is not here.
-- Answers 1 if it ended it now, 0 if there was nothing to end.
local v = redis.call('HMGET', KEYS[1], 'p', 'r')
if v[2] then return 0 end
if not v[1] then
  -- Flushed or failed over. A replica that has just read the record as alive may be
  -- about to put the family back: it must find that it has ended.
  if ARGV[1] == '' then
    redis.call('HSET', KEYS[1], 'r', ARGV[2])
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
  end
  return 0
end
if ARGV[1] ~= '' and ARGV[1] ~= v[1] then return 0 end
redis.call('HSET', KEYS[1], 'r', ARGV[2])
return 1
