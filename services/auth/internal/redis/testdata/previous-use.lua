-- What a presented refresh token comes to: session.Decide, applied atomically.
-- KEYS[1]  the family's hash
-- ARGV     1 generation, 2 client, 3 key id of the presented token, 4 presenter,
--          5 key id for a successor, 6 overlap, 7 minimum interval, 8 idle life
--          (all ms), 9 now in ms ("" for the server's clock: always but in tests)
-- Fields   g generation, t time of last rotation (ms), c confirmed, d who rotated,
--          l pardon used in the generation before, n in this one, u subject,
--          o roles, p client (party), k key id of generation g, a time of
--          authentication (ms), e absolute end (ms), r reason of revocation
-- Answers  {outcome} or {outcome, g, k, u, o, a, e}
local key = KEYS[1]
local p, client, kid, presenter, next_kid = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local overlap, min_interval, idle = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local now = tonumber(ARGV[9])
if not now then
  local clock = redis.call('TIME')
  now = clock[1] * 1000 + math.floor(clock[2] / 1000)
end

local v = redis.call('HMGET', key, 'g', 't', 'c', 'd', 'l', 'n', 'u', 'o', 'p', 'k', 'a', 'e', 'r')
if v[13] then return {'revoked'} end
if not v[1] then return {'missing'} end
local g, t, c, d, l, n = tonumber(v[1]), tonumber(v[2]), v[3] == '1', v[4], v[5] == '1', v[6] == '1'
local subject, roles, owner, k, authenticated, ends = v[7], v[8], v[9], v[10], v[11], tonumber(v[12])

if now >= ends then return {'ended'} end
if client ~= owner then return {'foreign'} end

local function granted(outcome)
  redis.call('PEXPIRE', key, math.min(idle, ends - now))
  return {outcome, string.format('%.0f', g), k, subject, roles, authenticated, v[12]}
end

local function reused()
  redis.call('HSET', key, 'r', 'reuse')
  return {'reused'}
end

local function present()
  if now - t < min_interval then
    redis.call('HSET', key, 'g', string.format('%.0f', g), 'k', k, 'c', '1')
    return 'current'
  end
  g, k = g + 1, next_kid
  redis.call('HSET', key, 'g', string.format('%.0f', g), 't', string.format('%.0f', now),
    'c', '0', 'd', presenter, 'l', (n and l) and '1' or '0', 'n', '0', 'k', k)
  return 'rotated'
end

if p > g then
  g, k = p, kid
  present()
  return granted('healed')
end
if p == g then return granted(present()) end
if p < g - 1 then return reused() end

local same = presenter == d
if now - t <= overlap then return granted('concurrent') end
if not c and same then return granted('retried') end
if (not c or same) and (n or not l) then
  redis.call('HSET', key, 'l', '1', 'n', '1')
  return granted('pardoned')
end
return reused()
