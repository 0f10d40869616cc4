-- Revokes a family. For any client it also revokes a family that does not exist, so that it cannot
-- be created.
-- KEYS[1]  hash of the family
-- ARGV     1 client digest ("" for any), 2 reason, 3 time to keep the hash (ms; "" to leave its
--          expiry unchanged)
local owner = redis.call('HGET', KEYS[1], 'C')
if ARGV[1] ~= '' and ARGV[1] ~= owner then return 0 end
redis.call('HSETNX', KEYS[1], 'r', ARGV[2])
if ARGV[3] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 0
