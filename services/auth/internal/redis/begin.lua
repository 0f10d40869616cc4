-- Creates a family. KEYS[1] its hash, ARGV 1 subject, 2 roles, 3 client's digest, 4 key id,
-- 5 time of authentication (ms), 6 absolute end (ms), 7 idle life (ms), 8 now in ms
-- ("" for the server's clock: always but in tests), 9 generation, 10 time of its
-- making (ms). Answers 0 if there is a family already, unless it is this very one:
-- sent twice by a client that lost the answer, it finds its own work.
local now = tonumber(ARGV[8])
if not now then
  local clock = redis.call('TIME')
  now = clock[1] * 1000 + math.floor(clock[2] / 1000)
end
local v = redis.call('HMGET', KEYS[1], 'S', 'A', 'G', 'g', 'r')
if v[4] or v[5] then return 0 end -- the release before had it, or it ended while it was not here
if v[1] then return (v[1] == ARGV[1] and v[2] == ARGV[5] and v[3] == ARGV[9]) and 1 or 0 end
redis.call('HSET', KEYS[1], 'G', ARGV[9], 'T', ARGV[10], 'F', 'c', 'D', '',
  'S', ARGV[1], 'O', ARGV[2], 'C', ARGV[3], 'K', ARGV[4], 'A', ARGV[5], 'E', ARGV[6])
redis.call('PEXPIRE', KEYS[1], math.max(1, math.min(tonumber(ARGV[7]), tonumber(ARGV[6]) - now)))
return 1
