-- Ends a family for ever. KEYS[1] its hash, ARGV 1 client or "" for any, 2 reason.
-- Answers 1 if it ended it now, 0 if there was nothing to end.
local v = redis.call('HMGET', KEYS[1], 'p', 'r')
if not v[1] or v[2] or (ARGV[1] ~= '' and ARGV[1] ~= v[1]) then return 0 end
redis.call('HSET', KEYS[1], 'r', ARGV[2])
return 1
