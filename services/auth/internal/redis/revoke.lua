-- Ends a family for ever. KEYS[1] its hash, ARGV 1 client's digest or "" for any, 2 reason,
-- 3 how long (ms) to remember that; "" for as long as the family would have lived.
local owner = redis.call('HGET', KEYS[1], 'C')
if ARGV[1] ~= '' and ARGV[1] ~= owner then return 0 end
redis.call('HSETNX', KEYS[1], 'r', ARGV[2])
if ARGV[3] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 0
