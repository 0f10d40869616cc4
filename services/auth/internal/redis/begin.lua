-- Creates a family.
-- KEYS[1]  hash of the family
-- ARGV     1 subject, 2 roles, 3 client digest, 4 key ID, 5 authentication time (ms),
--          6 absolute end (ms), 7 idle time (ms), 8 now (ms) and 9 epoch ("" for those of the
--          server), 10 generation, 11 time of its rotation (ms),
--          12 "1" if the family is rebuilt from its record, and so not verified yet,
--          13 provider and 14 its authentication context class, "" for a password
-- Returns  1, or 0 if another family has this ID. If the same family exists, a client that lost
--          the answer has sent the command again.
local v = redis.call('HMGET', KEYS[1], 'S', 'A', 'G', 'r')
if v[4] then return 0 end -- revoked
if v[1] then return (v[1] == ARGV[1] and v[2] == ARGV[5] and v[3] == ARGV[10]) and 1 or 0 end
redis.call('HSET', KEYS[1], 'G', ARGV[10], 'T', ARGV[11], 'F', 'c', 'D', '', 'V', ARGV[12] == '1' and '' or epoch(ARGV[9]),
  'S', ARGV[1], 'O', ARGV[2], 'C', ARGV[3], 'K', ARGV[4], 'A', ARGV[5], 'E', ARGV[6])
if ARGV[13] ~= '' then redis.call('HSET', KEYS[1], 'I', ARGV[13], 'L', ARGV[14]) end
redis.call('PEXPIRE', KEYS[1], math.max(1, math.min(tonumber(ARGV[7]), tonumber(ARGV[6]) - time(ARGV[8]))))
return 1
