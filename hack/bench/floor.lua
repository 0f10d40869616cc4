-- The floor's only command: as many fields read, decided on, written and answered as a
-- rotation needs, and no rule beyond that.
-- KEYS[1] a hash, ARGV 1 presenter, 2 key id, 3 idle life (ms), 4 overlap (ms)
local key = KEYS[1]
local presenter, kid, idle, overlap = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local v = redis.call('HMGET', key, 'g', 't', 'c', 'd', 'l', 'n', 'u', 'o', 'p', 'k', 'a', 'e', 'r')
if v[13] then return {'revoked'} end
if not v[1] then
  v = {'0', '0', '1', '', '0', '0', '6b7f5ad2-58c5-4a4c-8f35-0c4b1f6f2a11', '', 'floor', kid, tostring(now), tostring(now + idle)}
  redis.call('HSET', key, 'g', v[1], 't', v[2], 'c', v[3], 'd', v[4], 'l', v[5], 'n', v[6],
    'u', v[7], 'o', v[8], 'p', v[9], 'k', v[10], 'a', v[11], 'e', v[12])
end
local g, t, ends = tonumber(v[1]), tonumber(v[2]), tonumber(v[12])
if now >= ends then return {'ended'} end
local outcome = (now - t <= overlap and v[4] ~= presenter) and 'concurrent' or 'rotated'
g = g + 1
redis.call('HSET', key, 'g', string.format('%.0f', g), 't', string.format('%.0f', now),
  'c', '0', 'd', presenter, 'l', (v[5] == '1') and '1' or '0', 'n', '0', 'k', kid)
redis.call('PEXPIRE', key, math.min(idle, ends - now))
return {outcome, string.format('%.0f', g), kid, v[7], v[8], v[11], v[12]}
