-- Creates a family. KEYS[1] its hash, ARGV 1 subject, 2 roles, 3 client's digest, 4 key id,
-- 5 time of authentication (ms), 6 absolute end (ms), 7 idle life (ms), 8 now in ms, 9 epoch (8 and 9: see use.lua),
-- 10 generation, 11 time of its making (ms), 12 "1" if it is put back from its record: then it is not verified.
-- Answers 0 if there is a family already, unless it is this very one: sent twice by a
-- client that lost the answer, it finds its own work.
local v = redis.call('HMGET', KEYS[1], 'S', 'A', 'G', 'r')
if v[4] then return 0 end -- it ended while it was not here
if v[1] then return (v[1] == ARGV[1] and v[2] == ARGV[5] and v[3] == ARGV[10]) and 1 or 0 end
redis.call('HSET', KEYS[1], 'G', ARGV[10], 'T', ARGV[11], 'F', 'c', 'D', '', 'V', ARGV[12] == '1' and '' or epoch(ARGV[9]),
  'S', ARGV[1], 'O', ARGV[2], 'C', ARGV[3], 'K', ARGV[4], 'A', ARGV[5], 'E', ARGV[6])
redis.call('PEXPIRE', KEYS[1], math.max(1, math.min(tonumber(ARGV[7]), tonumber(ARGV[6]) - time(ARGV[8]))))
return 1
