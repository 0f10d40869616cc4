-- What a presented refresh token comes to: session.Decide, applied atomically.
-- KEYS[1]  the family's hash
-- ARGV     1 generation, 2 client's digest, 3 key id of the presented token, 4 presenter,
--          5 key id for a successor, 6 overlap, 7 minimum interval, 8 idle life
--          (all ms), 9 now in ms ("" for the server's clock: always but in tests),
--          10 client's name
-- Fields   G generation, T time of last rotation (ms), F flags (c confirmed, l pardon
--          used in the generation before, n in this one), D who rotated, S subject,
--          O roles, C client, by its digest or its name, K key id of generation G,
--          A time of authentication (ms), E absolute end (ms), r reason of revocation
-- Answers  {outcome}, {'revoked', r} or {outcome, G, K, S, O, A, E}
local key = KEYS[1]
local p, client, kid, presenter, next_kid = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local overlap, min_interval, idle = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local now, client_name = tonumber(ARGV[9]), ARGV[10]
if not now then
  local clock = redis.call('TIME')
  now = clock[1] * 1000 + math.floor(clock[2] / 1000)
end

local function flags(c, l, n)
  return (c and 'c' or '') .. (l and 'l' or '') .. (n and 'n' or '')
end

-- Reads the family; g says that the release before this one wrote it, and when
-- both did, that it did so later (docs/adr/0007): then it is written anew.
local function read()
  local v = redis.call('HMGET', key, 'G', 'T', 'F', 'D', 'S', 'O', 'C', 'K', 'A', 'E', 'r', 'g')
  if not v[12] then return v end
  local o = redis.call('HMGET', key, 'g', 't', 'c', 'l', 'n', 'd', 'u', 'o', 'p', 'k', 'a', 'e')
  redis.call('HSET', key, 'G', o[1], 'T', o[2], 'F', flags(o[3] == '1', o[4] == '1', o[5] == '1'), 'D', o[6],
    'S', o[7], 'O', o[8], 'C', o[9], 'K', o[10], 'A', o[11], 'E', o[12])
  redis.call('HDEL', key, 'g', 't', 'c', 'l', 'n', 'd', 'u', 'o', 'p', 'k', 'a', 'e')
  return read()
end

local v = read()
if v[11] then return {'revoked', v[11]} end
if not v[1] then return {'missing'} end
local g, t, f, d = tonumber(v[1]), tonumber(v[2]), v[3], v[4]
local c, l, n = f:find('c') ~= nil, f:find('l') ~= nil, f:find('n') ~= nil
local subject, roles, owner, k, authenticated, ends = v[5], v[6], v[7], v[8], v[9], tonumber(v[10])

if now >= ends then return {'ended'} end
if client ~= owner and client_name ~= owner then return {'foreign'} end

local function granted(outcome)
  redis.call('PEXPIRE', key, math.min(idle, ends - now))
  return {outcome, string.format('%.0f', g), k, subject, roles, authenticated, v[10]}
end

local function reused()
  redis.call('HSET', key, 'r', 'reuse')
  return {'reused'}
end

local function present()
  if now - t < min_interval then
    redis.call('HSET', key, 'G', string.format('%.0f', g), 'K', k, 'F', flags(true, l, n))
    return 'current'
  end
  g, k = g + 1, next_kid
  redis.call('HSET', key, 'G', string.format('%.0f', g), 'T', string.format('%.0f', now),
    'F', flags(false, l and n, false), 'D', presenter, 'K', k)
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
  redis.call('HSET', key, 'F', flags(c, true, true))
  return granted('pardoned')
end
return reused()
