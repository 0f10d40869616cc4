-- Creates a family. KEYS[1] its hash, ARGV 1 subject, 2 roles, 3 client, 4 key id,
-- 5 time of authentication (ms), 6 absolute end (ms), 7 idle life (ms), 8 now in ms
-- ("" for the server's clock: always but in tests). Answers 0 if another family
-- has that key. Sent twice by a client that lost the answer, it finds its own work.
local now = tonumber(ARGV[8])
if not now then
  local clock = redis.call('TIME')
  now = clock[1] * 1000 + math.floor(clock[2] / 1000)
end
local v = redis.call('HMGET', KEYS[1], 'u', 'a')
if v[1] then return (v[1] == ARGV[1] and v[2] == ARGV[5]) and 1 or 0 end
redis.call('HSET', KEYS[1], 'g', '1', 't', string.format('%.0f', now), 'c', '1', 'd', '', 'l', '0', 'n', '0',
  'u', ARGV[1], 'o', ARGV[2], 'p', ARGV[3], 'k', ARGV[4], 'a', ARGV[5], 'e', ARGV[6])
redis.call('PEXPIRE', KEYS[1], math.max(1, math.min(tonumber(ARGV[7]), tonumber(ARGV[6]) - now)))
return 1
